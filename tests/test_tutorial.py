"""The tutorial: its fast commands run on its files, and print what the page shows."""

import re
import shutil
from pathlib import Path

import pytest

from calls import Call
from places import ROOT

ESTIMATE = re.compile(r"roughly (\d+ h )?\d+ (min|s)")
"""A time that depends on the machine."""

BLOCK = re.compile(r'```\w+ title="([\w.]+)"\n(.*?)```', re.DOTALL)


@pytest.mark.skipif(shutil.which("apertium") is None, reason="the tutorial translates with Apertium")
@pytest.mark.usefixtures("one_thread")
def test_the_fast_commands_print_what_the_tutorial_shows(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/tutorial.md").read_text("utf-8")
    blocks = dict(BLOCK.findall(page))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # nothing is translated yet
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/samples", "examples/samples")
    source, target = re.findall(r"    cp (\S+) (\S+)", page)[0]
    Path(target).parent.mkdir(parents=True)
    shutil.copy(ROOT / source, target)
    Path("my.toml").write_text(blocks.pop("my.toml"), encoding="utf-8")
    commands = dict(re.findall(r'    spillover (.*)\n\n```text title="(\w+)"', page))
    assert sorted(commands.values()) == sorted(blocks) == ["compare", "lint", "run", "translate"]
    for command, name in commands.items():
        ended = call(*command.split())
        assert ended.status == 0, ended.err
        shown, printed = (ESTIMATE.sub("roughly TIME", " ".join(text.split())) for text in (blocks[name], ended.out))
        assert shown in printed, command
    assert not (tmp_path / "runs/my/adapter").exists(), "nothing was tuned"
