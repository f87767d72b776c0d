"""What an experiment measures: whose items, and tasks that results can tell apart."""

from importlib.resources import files
from pathlib import Path

import pytest

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.stages.evaluation import items_origin, listed_tasks, read_gates
from spillover.tasks import open_task


def own_task(folder: Path, name: str, source: str = "") -> str:
    """Write the sentiment task under a name, in a file of that name; return its path."""
    folder.mkdir(exist_ok=True)
    text = (files("spillover") / "data" / "tasks" / "sentiment.toml").read_text("utf-8")
    line = f'name = "{name}"\n' + (f'source = "{source}"' if source else "")
    path = folder / f"{name}.toml"
    path.write_text(text.replace('name = "sentiment"', line, 1), encoding="utf-8")
    return str(path)


def experiment(questions: str = "starter", **evaluate: object) -> Experiment:
    return parse_experiment({"questions": {"source": questions}, "evaluate": evaluate}, "test")


def test_a_task_s_source_goes_before_the_experiment_s_and_that_before_the_questions(tmp_path: Path) -> None:
    """In the precedence that evaluation has always had; what is looked for among the questions follows it."""
    corpus = tmp_path / "corpus" / "plain" / "items"
    corpus.mkdir(parents=True)
    (corpus / "en.jsonl").write_text('{"text": "a", "label": "positive"}\n', encoding="utf-8")
    folder = f"folder:{tmp_path / 'corpus'}"
    sourced, plain = (open_task(own_task(tmp_path, name, at)) for name, at in (("sourced", "paper:x"), ("plain", "")))
    everywhere = experiment(folder, source="hub:a/b", columns={"text": "t"})
    origins = [
        items_origin(everywhere, sourced),
        items_origin(everywhere, plain),
        items_origin(experiment(folder), plain),
        items_origin(experiment(folder), open_task("sentiment")),
    ]
    assert [(origin.spec, origin.key, dict(origin.columns)) for origin in origins] == [
        ("paper:x", "evaluate.tasks", {}),
        ("hub:a/b", "evaluate.source", {"text": "t"}),
        (folder, "questions.source", {}),
        ("starter", "evaluate.source", {}),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [("sentiment", "sentiment"), ("mood", "mood"), ("Mood", "mood"), ("caf\u00e9", "cafe\u0301")],
    ids=["shipped", "two of one's own", "another case", "another normal form"],
)
def test_two_tasks_whose_results_would_overwrite_each_other_are_refused(tmp_path: Path, one: str, other: str) -> None:
    first = one if one == "sentiment" else own_task(tmp_path / "a", one)
    with pytest.raises(SpilloverError, match=r"^evaluate.tasks: found .* and .*, which are both called"):
        listed_tasks(experiment(tasks=[first, own_task(tmp_path / "b", other)]))


def test_a_family_of_the_harness_is_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from local_tasks import CONFIGS, list_local_tasks_only, write_task  # the harness takes seconds to import

    list_local_tasks_only(monkeypatch)
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
        write_task(folder, "xnli_en", *CONFIGS["tiny_xnli"])
    tasks = [f"harness:{folder}/xnli_{{language}}" for folder in folders]
    with pytest.raises(SpilloverError, match="which are both called 'xnli'"):
        listed_tasks(experiment(tasks=tasks))


def test_a_gate_may_write_a_path_as_the_experiment_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own_task(tmp_path, "mood", "starter")
    (gate,) = read_gates(experiment(tasks=["~/mood.toml"], languages=["en", "de"]), ["~/mood.toml:pivot>=0"])
    assert gate.task == "mood"


def test_gates_name_what_will_be_measured(tmp_path: Path) -> None:
    path = own_task(tmp_path, "mood", "starter")
    measuring = experiment(tasks=[path, "sentiment"], languages=["en", "de", "th"])
    gates = read_gates(measuring, [f"{path}:th>=0", "mood:unseen>=-5", "tuned>=0"])
    assert [(gate.task, gate.measure) for gate in gates] == [("mood", "th"), ("mood", "unseen"), ("", "tuned")]
    for gate in ("sw>=0", "mood:zh>=0"):
        with pytest.raises(SpilloverError, match="which task 'mood' will have no value of"):
            read_gates(measuring, [gate])
    for gate, languages in (("unseen>=0", ["en", "de"]), ("tuned>=0", ["en", "th"]), ("pivot>=0", ["de", "th"])):
        with pytest.raises(SpilloverError, match="will have no value of"):
            read_gates(experiment(tasks=["sentiment"], languages=languages), [gate])
