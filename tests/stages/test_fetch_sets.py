"""`spillover fetch` and the data sets behind `hub:` and `harness:`: what it pins, and runs that read nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import tomli_w
import yaml

from calls import Call
from hubs import NEW, OLD, Hub
from local_tasks import list_local_tasks_only
from spillover.sources import open_source
from spillover.sources.pinned_sets import pinned_files, reading_pinned
from spillover.sources.reach import obstacle
from spillover.tasks import open_task
from spillover.utils.hub import pinned, pinning, read_lock, write_lock

SET = "datasets/owner/Two-Choices"
"""The data set of the hub."""
ID = SET.removeprefix("datasets/")
LANGUAGES = ("en", "de")
COLUMNS = {"label": "word"}


def write_set(folder: Path, word: str) -> Path:
    """Write a data set of a hub with a configuration per language; its texts begin with a word."""
    configs = []
    for code in LANGUAGES:
        for split in ("train", "test"):
            texts = [f"{word} {code} {split} {number}" for number in range(8)]
            rows = [
                {
                    "text": text,
                    "right": number % 2,
                    "ends": ["a", f"b{number}"],
                    "word": ("positive", "negative")[number % 2],
                }
                for number, text in enumerate(texts)
            ]
            path = folder / f"{code}/{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        files = [{"split": split, "path": f"{code}/{split}.jsonl"} for split in ("train", "test")]
        configs.append({"config_name": code, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n", encoding="utf-8")
    return folder


@pytest.fixture
def commits(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The commits of the hub's data set, the old one published; and no task of the harness but those of the test."""
    list_local_tasks_only(monkeypatch)
    hub.repositories[SET] = {OLD: write_set(tmp_path / "old", "old")}
    return {OLD: tmp_path / "old", NEW: write_set(tmp_path / "new", "new")}


def write_family(folder: Path, **options: object) -> Path:
    """Write a family of the harness on the hub's data set."""
    folder.mkdir()
    for code in LANGUAGES:
        table: dict[str, object] = {
            "task": f"two_{code}",
            "dataset_path": ID,
            "dataset_name": code,
            "test_split": "test",
        }
        table |= {"output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": "{{ends}}"}
        table |= {"doc_to_target": "right", "metric_list": [{"metric": "acc"}]} | options
        (folder / f"two_{code}.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    return folder


def write_experiment(path: Path, model: Path, **sections: object) -> Path:
    table = {"model": {"name": str(model), "dtype": "float32"}, "arms": {"a": {}, "b": {"dtype": "bfloat16"}}}
    path.write_text(tomli_w.dumps(table | sections), encoding="utf-8")
    return path


def first_text(source: str, task: str) -> str:
    return (
        open_source(source, COLUMNS if source.startswith("hub:") else {}, "evaluate.source")
        .items(open_task(task), "de")[0]
        .fields[0]
    )


def test_the_set_behind_a_family_is_pinned_and_read_without_a_network(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    family = f"{write_family(tmp_path / 'tasks')}/two_{{language}}"
    chosen = {"tasks": [f"harness:{family}"], "languages": list(LANGUAGES)}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"datasets": {ID: OLD}}

    hub.repositories[SET][NEW] = commits[NEW]
    assert first_text(f"harness:{family}", f"harness:{family}") == "new de test 0", "what nobody pins is the newest"
    hub.requests.clear()
    obstacle.cache_clear()  # as in a new process
    linted = call("--offline", "lint", experiment)
    assert linted.status == 0, linted.err
    with pinned(read_lock(experiment)):
        assert first_text(f"harness:{family}", f"harness:{family}") == "old de test 0"
    assert datasets.load_dataset(ID, "de", revision=OLD)["test"][0]["text"] == "new de test 0", (
        "the library itself, without a network, reads another commit than it is asked for"
    )
    assert not hub.requests


def test_a_set_of_the_hub_is_pinned_with_its_configurations(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    chosen = {"source": f"hub:{ID}", "tasks": ["sentiment"], "columns": COLUMNS}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"datasets": {ID: OLD}}
    hub.repositories[SET][NEW] = commits[NEW]
    assert first_text(f"hub:{ID}", "sentiment") == "new de test 0"
    hub.requests.clear()
    obstacle.cache_clear()  # as in a new process
    linted = call("--offline", "lint", experiment)
    assert linted.status == 0, linted.err
    with pinned(read_lock(experiment)):
        source = open_source(f"hub:{ID}", COLUMNS, "evaluate.source")
        assert source.item_languages(open_task("sentiment")) == LANGUAGES, "the library lists none without a network"
        assert source.items(open_task("sentiment"), "de")[0].fields == ("old de test 0",)
    assert not hub.requests


ADDRESSES = {
    "of the hub's file system": "hf://datasets/owner/Two-Choices/{code}/test.jsonl",
    "of several files": "hf://datasets/owner/Two-Choices/{code}/te*.jsonl",
    "of the hub's pages": "https://huggingface.co/datasets/owner/Two-Choices/resolve/main/{code}/test.jsonl",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_files_that_a_family_names_by_their_address_are_pinned(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path, address: str
) -> None:
    folder = write_family(tmp_path / "tasks", dataset_path="json", dataset_name=None)
    for code in LANGUAGES:
        file = folder / f"two_{code}.yaml"
        files = {"data_files": {"test": ADDRESSES[address].format(code=code)}}
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text("utf-8")) | {"dataset_kwargs": files}), "utf-8")
    family = f"{folder}/two_{{language}}"
    chosen = {"tasks": [f"harness:{family}"], "languages": list(LANGUAGES)}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"datasets": {ID: OLD}}
    hub.repositories[SET][NEW] = commits[NEW]
    hub.requests.clear()
    obstacle.cache_clear()  # as in a new process
    linted = call("--offline", "lint", experiment)
    assert linted.status == 0, linted.err
    with pinned(read_lock(experiment)):
        assert first_text(f"harness:{family}", f"harness:{family}") == "old de test 0"
    assert not hub.requests


def test_a_branch_in_an_address_is_pinned_as_such(hub: Hub, commits: dict[str, Path]) -> None:
    hub.repositories[SET] = {"refs/convert/parquet": commits[OLD], NEW: commits[NEW]}
    with pinning() as found:
        found["datasets"][f"{ID}@refs/convert/parquet"] = NEW  # type: ignore[index]
        file = pinned_files([f"hf://datasets/{ID}@refs/convert/parquet/de/*.jsonl"])
    assert [Path(name).parts[-3:] for name in file] == [(NEW, "de", "*.jsonl")]


def test_a_file_that_is_on_no_hub_is_refused(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    files = {"data_files": {"test": "https://example.org/rows.jsonl"}}
    family = write_family(tmp_path / "tasks", dataset_path="json", dataset_name=None, dataset_kwargs=files)
    chosen = {"tasks": [f"harness:{family}/two_{{language}}"], "languages": list(LANGUAGES)}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 2
    assert "data_files: found 'https://example.org/rows.jsonl', which is read from the network each time" in fetched.err
    assert not read_lock(experiment)


def test_a_branch_that_a_family_names_is_pinned_as_such(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    hub.repositories[SET]["refs"] = commits[NEW]
    family = f"{write_family(tmp_path / 'tasks', dataset_kwargs={'revision': 'refs'})}/two_{{language}}"
    chosen = {"tasks": [f"harness:{family}"], "languages": list(LANGUAGES)}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"datasets": {f"{ID}@refs": "refs"}}, "the stand-in calls this commit by its branch"


def test_files_here_are_not_looked_up(hub: Hub, tmp_path: Path) -> None:
    """Neither a folder nor a format of files is a data set of the hub, so nothing of them is pinned."""
    folder = write_set(tmp_path / "here", "here")
    with pinned({"datasets": {str(folder): OLD, "json": OLD}}), reading_pinned():
        files = {"test": str(folder / "de/test.jsonl")}
        assert datasets.load_dataset("json", data_files=files)["test"][0]["text"] == "here de test 0"
        assert datasets.load_dataset(str(folder), "de")["test"][0]["text"] == "here de test 0"
    assert not hub.requests


def test_without_a_lock_and_without_a_network_one_sentence_says_what_to_do(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    family = f"{write_family(tmp_path / 'tasks')}/two_{{language}}"
    chosen = {"tasks": [f"harness:{family}"], "languages": ["de"]}
    experiment = write_experiment(tmp_path / "my.toml", tiny("llama"), evaluate=chosen)
    obstacle.cache_clear()
    remedy = "the set is not in the cache; run `spillover fetch EXPERIMENT`"
    assert remedy in call("--offline", "lint", experiment).out
    write_lock(experiment, {"datasets": {ID: NEW}})
    assert remedy in call("--offline", "lint", experiment).out
    assert not hub.requests


def test_a_grid_is_fetched_and_its_workers_read_the_lock(
    call: Call, hub: Hub, commits: dict[str, Path], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    family = f"{write_family(tmp_path / 'tasks')}/two_{{language}}"
    sets = [["sentiment"], [f"harness:{family}"]]
    table = {"evaluate": {"tasks": sets, "languages": ["en", "de"], "limit": 4}, "analyze": {"limit": 0, "texts": 0}}
    grid = write_experiment(tmp_path / "grid.toml", tiny("llama"), **table)
    runs = tmp_path / "runs"
    fetched = call("fetch", grid, "--runs", runs)
    assert fetched.status == 0, fetched.err
    assert read_lock(grid) == {"datasets": {ID: OLD}}

    hub.repositories[SET][NEW] = commits[NEW]
    swept = call("sweep", grid, "--runs", runs, "--executor", "instant:inline")
    assert swept.status == 0, swept.err
    texts = [path.read_text("utf-8") for path in runs.glob("grid/*/report/tables/items.csv")]
    assert len(texts) == 2
    locks = sorted(runs.glob("grid/*/experiment.lock.toml"))
    assert [read_lock(path.with_name("experiment.toml")) for path in locks] == [{"datasets": {ID: OLD}}] * 2
    assert "2 of them finished" in call("sweep", grid, "--runs", runs, "--dry-run").out
    write_lock(grid, {"datasets": {ID: NEW}})
    assert "0 of them finished" in call("sweep", grid, "--runs", runs, "--dry-run").out
