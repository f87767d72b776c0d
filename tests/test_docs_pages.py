"""The pages of the docs: each is of one kind and says which, no link is dead, and the reference has every key."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import command_reference
import key_reference
from places import ROOT
from spillover.experiment import Experiment, parse_experiment
from spillover.experiment.section import Section

DOCS = ROOT / "docs"
GENERATED = {"keys.md": cache(key_reference.page), "commands.md": cache(command_reference.page)}
KINDS = ("Tutorial", "How-to", "Reference", "Explanation")


def pages_by_kind() -> Iterator[tuple[str, str]]:
    """Yield (kind, file) of every page in the navigation; the first page has no kind."""
    navigation = yaml.safe_load(re.sub(r"(?s)\nplugins:.*", "", (ROOT / "mkdocs.yml").read_text("utf-8")))["nav"]
    for row in navigation:
        if isinstance(row, str):
            yield "", row
        else:
            ((kind, files),) = row.items()
            yield from ((kind, name) for name in ([files] if isinstance(files, str) else files))


def text_of(name: str) -> str:
    return GENERATED[name]() if name in GENERATED else (DOCS / name).read_text("utf-8")


def test_every_page_is_of_one_kind_and_says_which() -> None:
    pages = list(pages_by_kind())
    names = [name for _, name in pages]
    files = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(names) == sorted(files | set(GENERATED))
    assert {kind for kind, _ in pages} <= {"", *KINDS}
    for kind, name in pages:
        title, blank, second = text_of(name).split("\n")[:3]
        assert title.startswith("# ") and not blank, name
        if kind:
            assert re.fullmatch(rf"\*{kind}: .+\.\*", second), name


LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as Python-Markdown writes them."""
    titles = HEADING.findall(re.sub(r"(?ms)^```.*?^```$", "", text))
    plain = (re.sub(r"[^\w\s-]", "", title.encode("ascii", "ignore").decode()) for title in titles)
    return {re.sub(r"[-\s]+", "-", title.strip().lower()) for title in plain}


def dead_links(folder: Path, text: str) -> list[str]:
    """Return the links of a page in `folder` whose file or heading is not there."""
    dead = []
    for place, anchor in LINK.findall(CODE.sub("", text)):
        target = (folder / place).resolve() if place else None
        generated = target is not None and target.parent == DOCS and target.name in GENERATED
        if target is not None and not generated and not target.exists():
            dead.append(place)
        elif anchor and (target is None or target.suffix == ".md"):
            whole = text if target is None else GENERATED[target.name]() if generated else target.read_text("utf-8")
            if anchor not in anchors(whole):
                dead.append(f"{place}#{anchor}")
    return dead


PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_is_dead(page: Path) -> None:
    assert dead_links(page.parent, page.read_text("utf-8")) == []


def test_a_dead_link_is_found() -> None:
    text = "# A title\n\n[a](runs.md) [b](nowhere.md) [c](runs.md#nowhere) [d](#a-title) [e](#b) [f](keys.md#tune)\n"
    assert dead_links(DOCS, text) == ["nowhere.md", "runs.md#nowhere", "#b"]


def unexplained(section: type[Section]) -> list[str]:
    """Return the keys of a section that hold no section and have no text below them."""
    texts = key_reference.meanings(section)
    return [
        name
        for name, field in section.model_fields.items()
        if not texts[name] and not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
    ]


@pytest.mark.parametrize("name", sorted(set(key_reference.sections()) - {"_SourceConfig"}))
def test_every_key_has_a_meaning(name: str) -> None:
    assert unexplained(key_reference.sections()[name]) in ([], ["languages"])


SECTION = re.compile(r"^## `\[([a-z.]+)\]`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| .* \| `([^`]+)` \| .* \|$", re.MULTILINE)


def defaults(page: str) -> Mapping[str, Any]:
    """Return the experiment whose keys have the defaults that the page states."""
    table: dict[str, Any] = {}
    for path, text in SECTION.findall(page):
        inner = table
        for part in path.split("."):
            inner = inner.setdefault(part, {})
        inner |= {key: json.loads(value) for key, value in ROW.findall(text)}
    return table


def test_the_defaults_on_the_page_are_those_of_an_empty_file() -> None:
    page = GENERATED["keys.md"]()
    stated = defaults(page)
    assert parse_experiment(stated, "page") == Experiment()
    assert sum(map(len, stated.values())) > 60
    wrong = page.replace("| whole number ≥ 1 | `8` |", "| whole number ≥ 1 | `9` |")
    assert parse_experiment(defaults(wrong), "page") != Experiment()


def test_the_command_line_s_page_has_every_command_with_its_whole_summary() -> None:
    page = GENERATED["commands.md"]()
    assert "* `evaluate`: Score every choice of every item with each arm, or let each arm write answers.\n" in page
    assert "### `spillover compare`" in page and "`spillover export model`" in page
    assert not re.search(r"^\* .*\.\.\.$", page, re.MULTILINE)
