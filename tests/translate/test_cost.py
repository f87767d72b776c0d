"""What translating cost: characters sent from this run folder, told apart from those that memory gave."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.pipeline import Run
from spillover.records import TranslationCost
from spillover.sources import open_source
from spillover.store import Store
from spillover.tasks import open_task

LIMIT = 6


class Engine:
    """Writes in capitals, one text at a time; of German it has enough after three."""

    version = "1"
    batch = 1
    patience = 3

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        Engine.patience -= target == "de"
        if Engine.patience < 0:
            raise SpilloverError("the engine is gone")
        return [text.upper() for text in texts]


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setitem(sys.modules, "my_engine", sys.modules[__name__])
    monkeypatch.setattr(Engine, "patience", 100)
    table = {"questions": {"limit": LIMIT}, "translate": {"to": ["zh", "de"], "with": "my_engine:Engine"}}
    return parse_experiment(table, "test")


def characters(experiment: Experiment, store: Store) -> dict[str, tuple[int, int, int]]:
    """Return language → characters that are new, known and sent."""
    found: list[TranslationCost] = list(Run(experiment, store).translation_costs())
    return {one.language: (one.new, one.known, one.sent) for one in found}


def length() -> int:
    """Return the characters of the questions, each text once, by a naive count."""
    questions = list(open_source("starter", {}, "test").questions(open_task("sentiment"), "en"))[:LIMIT]
    texts = {text for question in questions for text in question.fields}
    return sum(len(text) for text in texts)


def test_what_one_folder_sent_the_next_one_takes_from_memory(experiment: Experiment, tmp_path: Path) -> None:
    first, second = Store(tmp_path / "runs", "first"), Store(tmp_path / "runs", "second")
    all_of_them = length()
    assert characters(experiment, first) == dict.fromkeys(("zh", "de"), (all_of_them, 0, 0))
    for _ in range(2):  # a second time sends nothing, and changes nothing that is told
        _ = Run(experiment, first).pairs
        assert characters(experiment, first) == dict.fromkeys(("zh", "de"), (0, all_of_them, all_of_them))
    _ = Run(experiment, second).pairs
    assert characters(experiment, second) == dict.fromkeys(("zh", "de"), (0, all_of_them, 0))


def test_what_an_engine_did_before_it_failed_was_sent_too(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "runs", "first")
    all_of_them = length()
    monkeypatch.setattr(Engine, "patience", 3)
    with pytest.raises(SpilloverError, match="the engine is gone"):
        _ = Run(experiment, store).pairs
    new, known, sent = characters(experiment, store)["de"]
    assert 0 < known == sent == all_of_them - new < all_of_them
    monkeypatch.setattr(Engine, "patience", 100)
    _ = Run(experiment, store).pairs
    assert characters(experiment, store)["de"] == (0, all_of_them, all_of_them)


def test_a_log_that_broke_off_is_read_up_to_there(experiment: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs", "first")
    _ = Run(experiment, store).pairs
    before = characters(experiment, store)
    with (store.run / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event": "transl')
    assert characters(experiment, store) == before


def test_the_sources_own_translations_cost_nothing(tmp_path: Path) -> None:
    own = parse_experiment({"questions": {"limit": LIMIT}}, "test")
    store = Store(tmp_path / "runs", "own")
    _ = Run(own, store).pairs
    assert characters(own, store) == dict.fromkeys(("zh", "de"), (0, 0, 0))
