"""`status`, `open` and the README of a run folder: what a folder without its model and data still tells."""

import webbrowser
from pathlib import Path

import pytest
import tomli_w

from calls import Call

FILES = {
    "questions": ("questions.parquet",),
    "translate": ("pairs/de.parquet", "pairs/zh.parquet"),
    "build": ("examples.parquet",),
    "tune": ("adapter/history.json",),
    "evaluate": tuple(
        f"predictions/{arm}/sentiment/{code}.parquet" for arm in ("base", "tuned") for code in ("en", "sw")
    ),
    "analyze": tuple(
        f"traces/{arm}/sentiment/{code}.safetensors" for arm in ("base", "tuned") for code in ("en", "sw")
    ),
    "report": ("report/index.html",),
}
"""Stage → its files in the folder of this experiment."""


def write_run(folder: Path, *left_out: str, **sections: dict[str, object]) -> Path:
    """Write a run folder with empty files, some left out."""
    table = {
        "translate": {"to": ["zh", "de"]},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "sw"]},
    } | sections
    for name in (name for names in FILES.values() for name in names if name not in left_out):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "experiment.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return folder


def states(out: str) -> dict[str, str]:
    rows = [line.split(maxsplit=1) for line in out.splitlines() if line.split()[0] in FILES]
    return {
        stage: next(state for state in ("done", "in part", "missing") if rest.startswith(state)) for stage, rest in rows
    }


def test_a_finished_run_is_done_and_its_page_is_named(call: Call, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "whole")
    ended = call("status", folder)
    assert (ended.status, states(ended.out)) == (0, dict.fromkeys(FILES, "done"))
    assert f"Page: {folder / 'report/index.html'}" in ended.out


@pytest.mark.parametrize(("stage", "name"), [(stage, names[-1]) for stage, names in FILES.items()])
def test_a_stage_without_one_of_its_files_is_not_done(call: Call, tmp_path: Path, stage: str, name: str) -> None:
    """Its broken twin is the test above: the same folder with the file."""
    folder = write_run(tmp_path / "part", name, *(("adapter/history.json",) if stage == "tune" else ()))
    if stage == "tune":
        (folder / "adapter").symlink_to("nowhere")  # what is left of a run copied without its results
    ended = call("status", "part", "--runs", tmp_path)
    state = "in part" if len(FILES[stage]) > 1 else "missing"
    assert states(ended.out) == dict.fromkeys(FILES, "done") | {stage: state}
    assert f"spillover run {folder}/experiment.toml --name part --runs {tmp_path}" in ended.out


def test_a_task_that_nothing_measured_is_missing(call: Call, tmp_path: Path) -> None:
    write_run(tmp_path / "part", evaluate={"tasks": ["sentiment", "entailment"], "languages": ["en", "sw"]})
    assert states(call("status", tmp_path / "part").out)["evaluate"] == "in part"


def test_what_a_run_does_not_need_is_not_missing(call: Call, tmp_path: Path) -> None:
    tuning = [name for stage in ("questions", "translate", "build", "tune", "analyze") for name in FILES[stage]]
    folder = write_run(tmp_path / "arms", *tuning, arms={"base": {}, "tuned": {"adapter": "x"}}, analyze={"limit": 0})
    ended = call("status", folder)
    assert set(states(call("status", folder).out.replace("not needed", "")).values()) == {"done"}
    assert ended.out.count("not needed") == 5


def test_all_runs_have_a_line_and_one_that_cannot_be_read_hides_none(call: Call, tmp_path: Path) -> None:
    write_run(tmp_path / "whole")
    write_run(tmp_path / "grid" / "seed-1", *FILES["report"])
    write_run(tmp_path / "broken")
    (tmp_path / "broken" / "experiment.toml").write_text("seed = -1", encoding="utf-8")
    ended = call("status", "--runs", tmp_path)
    lines = ended.out.splitlines()
    assert ended.status == 0
    assert f"{tmp_path / 'whole'}: done" in lines
    assert f"{tmp_path / 'grid' / 'seed-1'}: report missing" in lines
    assert any(line.startswith(f"{tmp_path / 'broken'}: ") and "seed: found -1" in line for line in lines)


def test_a_folder_without_runs_says_how_to_make_one(call: Call, tmp_path: Path) -> None:
    ended = call("status", "--runs", tmp_path)
    assert (ended.status, "spillover demo" in ended.out) == (0, True)


def test_open_prints_the_page_and_opens_it(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = write_run(tmp_path / "whole"), list[str]()

    def browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    ended = call("open", "whole", "--runs", tmp_path)
    page = folder / "report" / "index.html"
    assert (ended.status, ended.out.strip(), ended.err, opened) == (0, str(page), "", [page.as_uri()])
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    ended = call("open", "whole", "--runs", tmp_path)
    assert (ended.out.strip(), "No browser is here" in ended.err) == (str(page), True)


@pytest.mark.parametrize("command", ["status", "open"])
def test_an_unknown_run_is_refused(call: Call, tmp_path: Path, command: str) -> None:
    ended = call(command, "demo", "--runs", tmp_path)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert f"{tmp_path / 'demo'}: found no " in ended.err
    assert "`spillover status" in ended.err
