"""Which items belong together: by their texts, or by a column that says so."""

from pathlib import Path

import pytest

from spillover.analysis.statistics.clusters import clusters_of
from spillover.errors import SpilloverError
from spillover.records import Item
from spillover.sources import open_source
from spillover.stages.items import clusters
from spillover.tasks import open_task


def item(id: str, *fields: str, cluster: str = "", language: str = "en") -> Item:
    return Item("entailment", id, language, fields, 0, cluster=cluster)


def test_items_that_share_all_but_the_last_text_are_a_cluster_called_by_its_first():
    rows = [item("a", "It rains.", "It is wet."), item("b", "It snows.", "It is cold."), item("c", "It rains.", "Dry.")]
    assert clusters_of(rows) == {"a": "a", "c": "a"}
    assert clusters_of([item("a", "It rains."), item("b", "It snows.")]) == {}, "one text: nothing to share"


def test_a_named_cluster_counts_whatever_the_texts_say():
    rows = [
        item("a", "It rains.", "Wet.", cluster="1"),
        item("b", "It snows.", "Cold.", cluster="1"),
        item("c", "It rains.", "Dry.", cluster="2"),
    ]
    assert clusters_of(rows) == {"a": "a", "b": "a"}


def test_english_tells_what_belongs_together_in_every_language():
    german = [item("a", "Es regnet.", "Nass.", language="de"), item("b", "Regen fällt.", "Trocken.", language="de")]
    english = [item("a", "It rains.", "Wet."), item("b", "It rains.", "Dry.")]
    assert clusters({("entailment", "de"): german, ("entailment", "en"): english}) == {
        "entailment": {"a": "a", "b": "a"}
    }
    assert clusters({("entailment", "de"): german}) == {"entailment": {}}


def test_a_column_names_them(tmp_path: Path):
    place = tmp_path / "sentiment" / "items"
    place.mkdir(parents=True)
    lines = ["id,text,label,film", "a,Good.,positive,1", "b,Bad.,negative,1", "c,Fine.,positive,2"]
    (place / "en.csv").write_text("\n".join(lines), encoding="utf-8")
    task = open_task("sentiment")
    rows = open_source(f"folder:{tmp_path}", {"cluster": "film"}, "x").items(task, "en")
    assert clusters_of(rows) == {"a": "a", "b": "a"}
    with pytest.raises(SpilloverError, match="found no column 'flim'; did you mean 'film'"):
        open_source(f"folder:{tmp_path}", {"cluster": "flim"}, "x").items(task, "en")


def test_halves_keep_a_cluster_whole():
    from spillover.analysis.statistics.transfer import split_half

    units = [f"premise {place // 3}" for place in range(100)]
    first, second = split_half(units)
    assert sorted([*first, *second]) == list(range(100))
    assert not {units[place] for place in first} & {units[place] for place in second}
    assert 45 <= len(first) <= 55
