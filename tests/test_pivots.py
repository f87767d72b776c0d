"""Questions in another language than English, translated into another pivot: a whole run of a tiny model, and parts."""

import re
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w

from calls import Call
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS = 6


class Tagging:
    """An engine that writes the direction before the text."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        return [f"{source}-{target} {text}" for text in texts]


class Words(HTMLParser):
    """The words of a page, without its scripts, styles and experiment file."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self._hidden = list[str](), 0

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self._hidden += tag in ("script", "style", "pre")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "pre")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


Made = Callable[..., Path]


@pytest.fixture
def made(call: Call, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Return a function: a command, and sections that differ from a small run → the run folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "my_tagging", sys.modules[__name__])
    monkeypatch.setattr("spillover.report.run.pictures", lambda *_: {})

    def run(command: str, **sections: dict[str, object]) -> Path:
        table: dict[str, dict[str, object]] = {
            "model": {"name": str(tiny("llama")), "dtype": "float32"},
            "questions": {"limit": QUESTIONS},
            "translate": {"to": ["de"]},
            "tune": {"epochs": 1, "translations": 1, "validation_share": 0},
            "evaluate": {"tasks": ["sentiment"], "languages": ["it", "de"], "limit": 4},
            "analyze": {"limit": 4, "texts": 2, "patch": 0, "metrics": ["cka"], "lenses": []},
        }
        for name, section in sections.items():
            table[name] = table.get(name, {}) | section
        (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        ended = call(command, tmp_path / "e.toml", "--runs", tmp_path / "runs")
        assert ended.status == 0, ended.err
        return tmp_path / "runs" / "e"

    return run


def own(language: str) -> list[str]:
    """Return the starter corpus's own texts."""
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    return [question.fields[0] for question in source.questions(task, language)][:QUESTIONS]


def examples(run: Path) -> list[tuple[str, str]]:
    return sorted(
        (row["source"].strip(), row["target"].strip()) for row in pq.read_table(run / "examples.parquet").to_pylist()
    )


def page(run: Path) -> str:
    words = Words()
    words.feed((run / "report" / "index.html").read_text(encoding="utf-8"))
    return " ".join(" ".join(words.words).split())


ITALIAN = ("Che bello!", "Non funziona.", "Lo consiglio.", "Mai più.", "Ottimo prezzo.", "Si è rotto subito.")


def test_questions_and_pivot_in_chinese(made: Made) -> None:
    run = made("build", questions={"language": "zh"}, mixture={"pivot": "zh"})
    assert [row["language"] for row in pq.read_table(run / "questions.parquet").to_pylist()] == ["zh"] * QUESTIONS
    assert examples(run) == sorted(zip(own("de"), own("zh"), strict=True))


def test_questions_and_pivot_in_italian(made: Made, tmp_path: Path) -> None:
    place = tmp_path / "mine" / "sentiment" / "questions" / "it.csv"
    place.parent.mkdir(parents=True)
    place.write_text("\n".join(["text", *ITALIAN]), encoding="utf-8")
    run = made(
        "run",
        questions={"language": "it", "source": f"folder:{tmp_path / 'mine'}"},
        translate={"with": "my_tagging:Tagging"},
        mixture={"pivot": "it"},
        evaluate={"source": "starter"},
    )
    assert examples(run) == sorted((f"it-de {text}", text) for text in ITALIAN)
    check_page(run, "it", "Italian")


def check_page(run: Path, pivot: str, name: str) -> None:
    """The page names the pivot, and no English that nobody measured."""
    text = page(run)
    assert f"tuned on de=>{pivot}" in text
    assert f"from German into {name}" in text
    assert "English" not in text, re.findall(r".{60}English.{60}", text)
    assert f"Every item in the chosen language and in {name}." in text
    pivots = [line for line in (run / "report/tables/gains.csv").read_text("utf-8").splitlines() if ",pivot," in line]
    assert len(pivots) == 1
    assert f",{pivot}," in pivots[0]


def test_an_engine_translates_the_questions_from_their_language_into_pivot_and_languages(made: Made) -> None:
    asked, chosen = own("zh"), {"to": ["de", "en", "zh"], "with": "my_tagging:Tagging"}
    run = made("build", questions={"language": "zh"}, translate=chosen, mixture={"pivot": "it"})
    sources = [(f"zh-{code} {text}", text) for code in ("de", "en") for text in asked] + [
        (text, text) for text in asked
    ]
    assert examples(run) == sorted((source, f"zh-it {text}") for source, text in sources)


def test_answered_questions_are_those_of_the_language(made: Made, tmp_path: Path) -> None:
    place = tmp_path / "mine" / "sentiment"
    for code, text in (("en", "Good."), ("it", "Che bello!")):
        (place / "questions").mkdir(parents=True, exist_ok=True)
        (place / "questions" / f"{code}.csv").write_text(f"id,text,label\n1,{text},positive\n", encoding="utf-8")
    run = made(
        "build",
        questions={"language": "it", "source": f"folder:{tmp_path / 'mine'}"},
        mixture={"recipe": "annotated-english", "pivot": "it", "sizes": {"it": 1}},
        evaluate={"source": "starter"},
    )
    ((source, target),) = examples(run)
    assert "Che bello!" in source
    assert target


def test_a_dry_run_counts_what_another_language_costs(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "my_tagging", sys.modules[__name__])
    table: dict[str, dict[str, object]] = {
        "questions": {"language": "Chinese", "limit": 2},
        "translate": {"to": ["en", "zh"], "with": "my_tagging:Tagging"},
        "mixture": {"pivot": "it"},
    }
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    refused = call("translate", tmp_path / "e.toml", "--runs", tmp_path / "runs", "--dry-run")
    assert refused.status == 2
    assert "questions.language: found 'Chinese', expected a language code; did you mean 'zh'?" in refused.err
    table["questions"]["language"] = "zh-Hans"
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    lines = call("translate", tmp_path / "e.toml", "--runs", tmp_path / "runs", "--dry-run").out.splitlines()
    count = sum(map(len, own("zh")[:2]))
    assert lines[:2] == [f"{code}: {count} characters to my_tagging:Tagging" for code in ("it", "en")]


def test_a_language_that_the_source_lacks_is_refused(call: Call, tmp_path: Path) -> None:
    for code, text in (("en", "Good."), ("de", "Gut.")):
        place = tmp_path / "mine" / "sentiment" / "questions" / f"{code}.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"id,text\n1,{text}\n", encoding="utf-8")
    table = {"questions": {"source": f"folder:{tmp_path / 'mine'}", "language": "sw"}, "translate": {"to": ["de"]}}
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("questions", tmp_path / "e.toml", "--runs", tmp_path / "runs")
    assert ended.status == 2
    assert "sw" in ended.err
