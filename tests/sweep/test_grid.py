"""A grid is the product of the lists in an experiment file, each experiment under a name of its own."""

from itertools import product
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.errors import SpilloverError
from spillover.experiment import load_experiment
from spillover.sweep.grid import load_grid


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grids")


def write(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_without_lists_is_a_grid_of_one(folder: Path):
    path = write(folder, 'seed = 3\n[translate]\nto = ["zh", "de"]\n')
    (only,) = load_grid(path)
    assert (only.name, only.setting, only.experiment) == ("only", "", load_experiment(path))


def test_each_combination_is_an_experiment_under_a_readable_name(folder: Path):
    path = write(
        folder,
        'seed = [0, 1]\n[model]\nname = ["a/b", "c"]\n[translate]\nto = [["zh"], ["zh", "de"]]\n'
        "[evaluate]\nlanguages = ['all', ['en', 'th']]\ntasks = ['sentiment']\n",
    )
    found = load_grid(path)
    expected = list(product((0, 1), ("a/b", "c"), (("zh",), ("zh", "de")), ("all", ("en", "th"))))
    assert [(t.experiment.seed, t.experiment.model.name, t.experiment.translate.to, t.experiment.evaluate.languages)
            for t in found] == expected  # fmt: skip
    assert found[0].name == "seed=0,name=a-b,to=zh,languages=all"
    assert found[-1].name == "seed=1,name=c,to=zh+de,languages=en+th"
    assert found[-1].setting == "name=c,languages=en+th"
    assert len({trial.name for trial in found}) == 16


def test_mixtures_are_named_by_their_recipes(folder: Path):
    mixtures = [
        {"recipe": "question-translation"},
        {
            "phases": [
                {"parts": [{"recipe": "replay", "source": "a/b"}, {"recipe": "reverse"}]},
                {"parts": [{"recipe": "copy"}]},
            ]
        },
    ]
    trials = load_grid(write(folder, tomli_w.dumps({"mixture": mixtures, "translate": {"to": ["de"]}})))
    assert [trial.name for trial in trials] == [
        "mixture=question-translation",
        "mixture=replay+source-a-b+reverse+copy",
    ]


def test_a_value_that_is_too_long_is_shown_by_its_last_whole_words(folder: Path):
    words = [f"{name}{number}" for name in ("of-a-long-way/data", "x" * 90) for number in (1, 2)]
    sources = [f"folder:{12 * 'between/'}{word}" for word in words]
    trials = load_grid(write(folder, tomli_w.dumps({"evaluate": {"source": sources}})))
    assert [trial.name for trial in trials] == [
        *(f"source={7 * 'between-'}of-a-long-way-data{number}" for number in (1, 2)),
        *(f"source={'x' * 79}{number}" for number in (1, 2)),
    ]


def test_keys_of_one_name_are_told_apart_and_sections_may_be_given_several_times(folder: Path):
    path = write(
        folder, "[questions]\nlimit = [1, 2]\n[analyze]\nlimit = [0, 3]\n" + "[[tune]]\nrank = 4\n[[tune]]\nalpha = 2\n"
    )
    found = load_grid(path)
    assert found[0].name == "questions.limit=1,analyze.limit=0,tune=rank-4"
    assert {(trial.experiment.tune.rank, trial.experiment.tune.alpha) for trial in found} == {(4, 16), (8, 2)}


def test_overrides_may_hold_lists_and_replace_them(folder: Path):
    path = write(folder, "seed = [0, 1, 2]\n")
    assert [trial.name for trial in load_grid(path, ["seed=1", "tune.epochs=[1, 2]"])] == ["epochs=1", "epochs=2"]


def test_names_that_would_be_the_same_folder_are_told_apart(folder: Path):
    found = load_grid(write(folder, '[model]\nname = ["a/b", "a-b", "A-B"]\n'))
    names = {trial.name.casefold() for trial in found}
    assert len(names) == 3
    assert all(name.startswith("name=a-b,") for name in names)


@settings(deadline=None, max_examples=50)
@given(names=st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=4, unique=True))
def test_a_name_never_leaves_its_folder(folder: Path, names: list[str]):
    path = write(folder, tomli_w.dumps({"model": {"name": names}, "questions": {"source": names}}))
    try:
        found = load_grid(path)
    except SpilloverError:
        return
    for trial in found:
        assert Path(trial.name).name == trial.name
        assert trial.name.isascii()
        assert not trial.name.startswith((".", "-"))
        assert len(trial.name) < 240


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = []", r"grid.toml: seed: found \[\], expected at least one value"),
        ("seed = [0, 0]", "grid.toml: seed: found 0 twice, expected each value once"),
        ("[tune]\nepochs = [1, 1.0]", "grid.toml: epochs=1 and epochs=1.0 are the same experiment, expected each once"),
        ("seeds = [0, 1]", "grid.toml, seeds=0: unknown key 'seeds'; did you mean 'seed'"),
        ('seed = [0, "x"]', "grid.toml, seed=x: seed: found 'x', expected: "),
        ('[translate]\nto = [["zh"], "de"]', "to=de: translate.to: found 'de', expected"),
        ('[translate]\nto = [["zh"], ["xx"]]', "to=xx: translate.to: found 'xx', expected a language code"),
        (
            "\n".join(f"[questions.columns]\na{k} = [{', '.join(map(repr, 'abcdefghij'))}]" if k == 0 else
                      f"a{k} = [{', '.join(map(repr, 'abcdefghij'))}]" for k in range(6)),
            "found 1000000 combinations, expected at most 100000",
        ),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_one_sentence(folder: Path, text: str, said: str):
    with pytest.raises(SpilloverError, match=said) as caught:
        load_grid(write(folder, text))
    assert "\n" not in str(caught.value)
