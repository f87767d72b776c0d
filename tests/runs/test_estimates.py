"""First estimates: what is counted of the texts, and what a run of a known model would take."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from spillover.experiment import Experiment
from spillover.models.shape import SHAPES, ModelShape
from spillover.models.speed import Speed
from spillover.runs import estimates
from spillover.runs.estimates import BYTES_PER_TOKEN, Effort, costs_of_models, efforts, with_estimates
from spillover.runs.rates import UnitCost
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task

DEMO = Path(str(files("spillover").joinpath("data", "demo.toml")))
GEMMA = SHAPES["gemma-3-270m"]


def experiment(**changes: dict) -> Experiment:
    table = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    return Experiment(
        **{name: {**table.get(name, {}), **changes.get(name, {})} for name in {*table, *changes} - {"seed"}}
    )


def effort(part: str, shape: ModelShape = GEMMA, **changes: dict) -> Effort:
    chosen = experiment(**changes)
    return dict(efforts(chosen, Inputs(chosen), shape))[part]


def test_each_item_is_read_once_and_the_exemplars_once_per_cell() -> None:
    """Against a loop over the texts, with one token per choice beyond its first."""
    few = {"languages": ["en", "th"], "limit": 6}
    chosen, task = experiment(evaluate=few), open_task("sentiment")
    rows = Inputs(chosen).items
    count = tokens = 0.0
    for items in rows.values():
        prompts = [task.prompt(item) for item in items]
        tokens += len("".join(prompts[0].exemplars).encode()) / BYTES_PER_TOKEN
        for prompt in prompts:
            tokens += len(prompt.body.encode()) / BYTES_PER_TOKEN
            tokens += sum(len(choice.encode()) / BYTES_PER_TOKEN - 1 for choice in prompt.choices)
        count += len(items)
    assert effort("evaluate", evaluate=few).read == pytest.approx(tokens / count)
    assert effort("evaluate", evaluate=few | {"limit": 3}).read > tokens / count, "fewer items share the exemplars"


def test_the_demo_takes_about_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two quiet cores it took 96 s, 106 s and 75 s. Their speed is not known, so only the proportions are tested."""
    speed = Speed(read=0.0016, learn=0.0036, write=0.02, unembed=0.0034)  # of one thread of such a machine
    monkeypatch.setattr(estimates, "machine_speed", lambda model, shape: speed)
    chosen = experiment()
    costs = with_estimates({}, ["tune"], chosen, Inputs(chosen))
    units = {"tune": (240, 96), "evaluate": (1920, 106), "analyze": (400, 75)}
    ratios = [costs[part].seconds * count / seconds for part, (count, seconds) in units.items()]
    assert max(ratios) / min(ratios) < 1.5
    assert costs["analyze"].bytes * 400 == pytest.approx(57e6, rel=0.2), "the traces took 57 MB"


def test_held_out_translations_and_full_tuning_cost_more() -> None:
    without, tuned = effort("tune", tune={"translations": 0}), effort("tune")
    assert (without.write, without.learn) == (0, tuned.learn)
    assert tuned.write > 0
    full = effort("tune", tune={"method": "full", "targets": "all-linear"})
    assert full.learn == pytest.approx(1.5 * tuned.learn)
    assert full.bytes > 50 * tuned.bytes


def test_a_lens_reads_every_layer_and_patches_grow_with_the_languages() -> None:
    plain = effort("analyze", analyze={"lenses": []})
    deep = effort("analyze", replace(GEMMA, layers=2 * GEMMA.layers), analyze={"lenses": []})
    assert plain.unembed == deep.unembed == 0
    assert effort("analyze").unembed > GEMMA.layers
    two, ten = (
        effort("analyze", analyze={"patch": 2, "lenses": []}, evaluate={"languages": codes}).unembed
        for codes in (["en", "de"], ["en", "zh", "de", "fr", "es", "it", "nl", "ja", "ru", "sv"])
    )
    assert ten / two == pytest.approx((2 * 9 / 10) / (2 * 1 / 2)), "states per cell: 18 in ten cells, 2 in two"


def test_what_runs_have_recorded_wins_and_nothing_is_measured_then(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def speed(model: object, shape: object) -> Speed:
        measured.append("once")
        return Speed(1.0, 1.0, 1.0, 1.0)

    monkeypatch.setattr(estimates, "machine_speed", speed)
    chosen = experiment(evaluate={"languages": ["en"], "limit": 2})
    recorded = {"tune": UnitCost(3.0, 4.0)}
    assert with_estimates(recorded, ["tune"], chosen, Inputs(chosen)) == recorded
    assert not measured
    costs = with_estimates(recorded, ["tune", "evaluate"], chosen, Inputs(chosen))
    assert (costs["tune"], measured) == (recorded["tune"], ["once"])
    assert costs["evaluate"].estimated
    assert "roughly" in str(costs["evaluate"] + costs["tune"]), "a sum with an estimate is one"


def test_each_model_of_a_grid_is_estimated_with_its_first_experiment(
    monkeypatch: pytest.MonkeyPatch, tiny: Callable[[str], Path]
) -> None:
    """Where data cannot be read, the recorded costs stay."""
    monkeypatch.setattr(estimates, "machine_speed", lambda model, shape: Speed(1.0, 1.0, 1.0, 1.0))
    few = {"languages": ["en"], "limit": 2}
    trials = [experiment(model={"name": name}, evaluate=few) for name in (str(tiny("llama")), "nobody/nothing")]
    broken = experiment(model={"name": "organism"}, evaluate=few | {"source": "folder:gone"})
    models = [trial.model for trial in (*trials, broken)]
    recorded = {(models[2], "tune"): UnitCost(3.0, 4.0)}
    costs = costs_of_models(recorded, {model: ["tune", "evaluate"] for model in models}, [*trials, broken])
    assert {model for model, _ in costs} == {models[0], models[2]}
    assert costs[models[2], "tune"] == recorded[models[2], "tune"]
    assert (models[2], "evaluate") not in costs
