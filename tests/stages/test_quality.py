"""Quality estimation and unknown text as flags, with a stand-in scorer; the commands of the scorers that ship."""

import json
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tomli_w

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.pipeline import Run
from spillover.store import Store, digest
from spillover.translate.quality import open_scorer
from tiny_translators import nllb_shaped

CALLS: list[tuple[int, int]] = []
"""Numbers of originals and translations of each call of a stand-in."""


class Lengths:
    """Scores a translation by its length in characters: more is better."""

    lower_is_better = False
    version = "1"

    def score(self, originals: Sequence[str], translations: Sequence[str]) -> list[float]:
        CALLS.append((len(originals), len(translations)))
        assert not any("\n" in text for text in (*originals, *translations))
        return [float(len(text)) for text in translations]


class Errors(Lengths):
    """The same number as an error: less is better."""

    lower_is_better = True


class Broken(Lengths):
    def score(self, originals: Sequence[str], translations: Sequence[str]) -> list[float]:
        return [float("nan")] * len(originals)


@pytest.fixture(autouse=True)
def scorers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "my_scorers", sys.modules[__name__])
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    CALLS.clear()


def run_of(tmp_path: Path, **translate: Any) -> Run:  # noqa: ANN401 - a table of TOML
    table = {"questions": {"limit": 20}, "translate": {"to": ["de"]} | translate}
    return Run(parse_experiment(table, "test"), Store(tmp_path / "runs", "r"))


@pytest.mark.parametrize(("name", "worse"), [("Lengths", np.less), ("Errors", np.greater)])
def test_pairs_beyond_the_threshold_are_flagged(
    tmp_path: Path, name: str, worse: Callable[[float, float], bool]
) -> None:
    run = run_of(tmp_path, quality=f"my_scorers:{name}", quality_threshold=115.0)
    with closing(run.store):
        pairs = run.pairs["de"]
        lengths = [len(" ".join(pair.source[0].split())) for pair in pairs]
        assert ["quality" in pair.flags for pair in pairs] == [bool(worse(length, 115)) for length in lengths]
        assert 0 < sum("quality" in pair.flags for pair in pairs) < len(pairs), "both kinds are here"
        rows = pq.read_table(run.store.run / "quality" / "de.parquet").to_pylist()
        assert rows == [{"id": pair.id, "score": length} for pair, length in zip(pairs, lengths, strict=True)]


def test_scores_are_kept_and_another_threshold_scores_nothing_again(tmp_path: Path) -> None:
    counts = []
    for threshold in (100.0, 115.0, 1000.0, None):
        run = run_of(tmp_path, quality="my_scorers:Lengths", quality_threshold=threshold)
        with closing(run.store):
            counts.append(sum("quality" in pair.flags for pair in run.pairs["de"]))
    assert counts[0] < counts[1] < counts[2] == 20
    assert counts[3] == 0, "without a threshold there is no flag"
    assert CALLS == [(20, 20)]


def test_flagged_pairs_are_dropped_and_the_report_tells_the_distribution(
    call: Call, tmp_path: Path, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMET_SCORE", str(command(tmp_path, COMET)[0]))
    monkeypatch.setattr("spillover.report.run.pictures", lambda *_: {})
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": 20},
        "translate": {"to": ["de"], "quality": "cometkiwi", "quality_threshold": 1.15, "drop": ["quality"]},
        "tune": {"epochs": 1, "translations": 0, "validation_share": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en"], "limit": 4},
        "analyze": {"limit": 0, "texts": 0, "patch": 0},
    }
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("run", tmp_path / "e.toml", "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    folder = tmp_path / "runs" / "e"
    scores = [row["score"] for row in pq.read_table(folder / "quality" / "de.parquet").to_pylist()]
    left = pq.read_table(folder / "examples.parquet").num_rows
    assert left == sum(score >= 1.15 for score in scores)
    cells = (folder / "report/tables/quality.md").read_text("utf-8").splitlines()[-1].split("|")
    expected = ["German", "20", *(f"{value:.3f}" for value in np.quantile(scores, [0.05, 0.25, 0.5, 0.75, 0.95]))]
    assert [cell.strip() for cell in cells if cell.strip()] == [*expected, "1.15", str(20 - left)]
    page = " ".join((folder / "report/index.html").read_text("utf-8").split())
    assert "as cometkiwi estimates it" in page
    assert "<strong>Licenses.</strong> quality estimation cometkiwi (CC BY-NC-SA 4.0): non-commercial use only." in page
    assert '<h3 id="licenses-title">Licenses</h3>' in page
    flags = (folder / "report/tables/pairs.md").read_text("utf-8")
    assert "quality" in flags


def test_a_dry_run_says_how_many_pairs_are_scored_and_scores_none(
    call: Call, tmp_path: Path, tiny: Callable[[str], Path]
) -> None:
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": 20},
        "translate": {"to": ["de"], "quality": "my_scorers:Lengths", "quality_threshold": 115.0, "drop": ["quality"]},
        "tune": {"epochs": 1, "translations": 0, "validation_share": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en"], "limit": 4},
    }
    (tmp_path / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    arguments = (tmp_path / "e.toml", "--runs", tmp_path / "runs")
    dry = call("run", *arguments, "--dry-run")
    assert dry.status == 0, dry.err
    assert "quality: 20 pairs to score by my_scorers:Lengths" in dry.out and not CALLS
    assert "tune: 20 examples" in dry.out, "none is dropped before it is scored"
    assert call("build", *arguments).status == 0
    assert CALLS == [(20, 20)]
    again = call("run", *arguments, "--dry-run")
    assert "quality:" not in again.out and "tune: 20 examples" not in again.out
    assert CALLS == [(20, 20)]


def test_a_scorer_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path, quality="my_scorers:Broken")
    with closing(run.store), pytest.raises(SpilloverError, match="expected a finite number for each"):
        _ = run.pairs


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"drop": ["quality"]}, "translate.drop: found 'quality' without translate.quality"),
        ({"quality_threshold": 0.5}, "translate.quality_threshold: found 0.5 without translate.quality"),
        ({"quality_model": "m"}, "translate.quality_model: found 'm' without translate.quality"),
    ],
)
def test_keys_without_a_scorer_are_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(SpilloverError, match=message):
        parse_experiment({"translate": section}, "test")


def test_digests_of_experiments_without_these_keys_are_as_before() -> None:
    plain = Experiment().translate.identity()
    assert not {"quality", "quality_model", "quality_threshold"} & plain.keys()
    assert "language" not in Experiment().questions.identity()
    scored = parse_experiment({"translate": {"quality": "metricx"}}, "test").translate
    assert digest(scored) != digest(Experiment().translate)


SCRIPT = """#!{python}
import json, sys
arguments = sys.argv[1:]
json.dump(arguments, open({log!r}, "w"))
{work}
"""
COMET = """
value = lambda name: arguments[arguments.index(name) + 1]
pairs = list(zip(open(value("-s"), encoding="utf-8"), open(value("-t"), encoding="utf-8")))
rows = [{"src": a.strip(), "mt": b.strip(), "COMET": len(b.strip()) / 100} for a, b in pairs]
json.dump({value("-t"): rows}, open(value("--to_json"), "w"))
"""


def command(tmp_path: Path, work: str) -> tuple[Path, Path]:
    """Write an executable stand-in; return it and the file in which it notes its arguments."""
    path, log = tmp_path / "stand-in", tmp_path / "arguments.json"
    path.write_text(SCRIPT.format(python=sys.executable, log=str(log), work=work), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path, log


def test_cometkiwi_is_called_as_its_command_line_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, log = command(tmp_path, COMET)
    monkeypatch.setenv("COMET_SCORE", str(path))
    scorer = open_scorer("cometkiwi")
    assert scorer.score(["Good.", "好"], ["Gut.", "Schön!"]) == [0.04, 0.06]
    arguments = json.loads(log.read_text("utf-8"))
    assert arguments[::2] == ["-s", "-t", "--model", "--to_json", "--gpus", "--quiet"]
    assert arguments[5] == "Unbabel/wmt22-cometkiwi-da"
    assert not scorer.lower_is_better


def test_a_scorer_that_is_not_there_or_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_SCORE", str(tmp_path / "nowhere"))
    with pytest.raises(SpilloverError, match=r"cannot run .*nowhere.*: No such file or directory; install it with"):
        open_scorer("cometkiwi").score(["a"], ["b"])
    path, _ = command(tmp_path, "sys.exit('no such model')")
    monkeypatch.setenv("COMET_SCORE", str(path))
    with pytest.raises(SpilloverError, match="failed: no such model; install it with"):
        open_scorer("cometkiwi").score(["a"], ["b"])
    with pytest.raises(SpilloverError, match=r"translate.quality: found 'metrics'.*did you mean 'metricx'"):
        open_scorer("metrics")


def test_text_that_the_engines_tokenizer_does_not_know_is_flagged(tmp_path: Path) -> None:
    place = tmp_path / "mine" / "sentiment" / "questions" / "en.csv"
    place.parent.mkdir(parents=True)
    place.write_text("text\nA house.\n好的好的\nab cd 好\n", encoding="utf-8")
    (tmp_path / "nllb").mkdir()
    table = {
        "questions": {"source": f"folder:{tmp_path / 'mine'}"},
        "translate": {"to": ["de"], "with": "nllb", "model": str(nllb_shaped(tmp_path / "nllb"))},
    }
    with closing(Store(tmp_path / "runs", "r")) as store:
        pairs = Run(parse_experiment(table, "test"), store).pairs["de"]
    assert ["unknown" in pair.flags for pair in pairs] == [False, True, True]


def test_an_engine_without_a_tokenizer_flags_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with closing(run.store):
        assert not any({"unknown", "quality"} & set(pair.flags) for pair in run.pairs["de"])
    assert os.environ["XDG_DATA_HOME"].startswith(str(tmp_path))
