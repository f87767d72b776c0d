"""Scoring engines: one table of engines, and one of their checks."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.stages.arms import Arm

if TYPE_CHECKING:  # torch costs seconds, and a finished run never needs it
    from spillover.models.scoring.score import Scores


def _by_transformers(arm: Arm) -> "Callable[..., Scores]":
    from spillover.models.scoring.score import score

    return partial(score, arm.reader)


def _compiled(arm: Arm) -> "Callable[..., Scores]":
    from spillover.models.scoring.compiled import score

    return partial(score, arm.reader)


def _by_vllm(arm: Arm) -> "Callable[..., Scores]":
    from spillover.models.scoring.vllm import open_engine, score

    model, adapter = arm.experiment.model, arm.adapter.path if arm.adapter else None
    rank, style = arm.experiment.tune.rank, model.chat_style
    engine = open_engine(model.name, model.dtype, model.template, adapter, rank, style, model.device_map)
    return partial(score, engine)


def _check_compiler(experiment: Experiment) -> None:
    from spillover.models.scoring.compiled import check_compiler

    check_compiler(experiment.model.quantize, experiment.model.device_map)


def _check_vllm(experiment: Experiment) -> None:
    from spillover.models.scoring.vllm import check_vllm

    model = experiment.model
    check_vllm(model.quantize, experiment.evaluate.merged, experiment.tune, model.device_map)


SCORING_ENGINES: "dict[str, Callable[[Arm], Callable[..., Scores]]]" = {
    "transformers": _by_transformers,
    "compiled": _compiled,
    "vllm": _by_vllm,
}
"""Name of an engine → arm → `models.scoring.score.score` without its first argument."""

ENGINE_CHECKS: dict[str, Callable[[Experiment], None]] = {"compiled": _check_compiler, "vllm": _check_vllm}
"""Name of an engine → its check, for engines that do not work everywhere."""


def require_engine(experiment: Experiment) -> None:
    """Refuse an engine that cannot score each arm here. An hour of tuning would otherwise come first.

    Raises:
        SpilloverError: the machine or the experiment lacks what the engine needs, or an arm is loaded in a way that the
            engine does not support.
    """
    if check := ENGINE_CHECKS.get(experiment.evaluate.engine):
        for name in experiment.all_arms:
            try:
                check(experiment.model_copy(update={"model": experiment.model_of(name)}))
            except SpilloverError as error:
                if not (experiment.arms and str(error).startswith("model.")):
                    raise
                raise SpilloverError(f"arms.{name}: {str(error).removeprefix('model.')}") from error
