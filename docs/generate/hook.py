"""What mkdocs calls: it adds the generated pages to the site."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import command_reference
import key_reference

PAGES = {"keys.md": key_reference.page, "commands.md": command_reference.page}
"""File of a generated page → the function that writes it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the pages of the folder."""
    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    return files
