"""Downloading all that a run needs, so that the run itself needs no network."""

from collections.abc import Callable

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.models.adapter_files import locate_adapter
from spillover.models.locate import locate
from spillover.plugins import TRANSLATORS
from spillover.stages.inputs import Inputs
from spillover.translate.quality import open_scorer
from spillover.utils.hub import Revisions, pinning
from spillover.utils.progress import notify

NETWORKED = ("stream",)
"""Kinds of sources that are read from the network each time."""


def fetch(experiment: Experiment, inputs: Inputs, open_translator: Callable[[], object]) -> Revisions:
    """Download all that a run needs: models, adapters, translator, quality scorer, questions and items.

    Args:
        experiment: what will be run.
        inputs: its questions and items, which are read once, so that they are in the cache.
        open_translator: opens the translator, which downloads its model if it runs in this process.

    Returns:
        The commits of those that the hub has.

    Raises:
        SpilloverError: something cannot be had, or is read from the network each time.
    """
    _refuse_streams(experiment)
    with pinning() as commits:
        for name, arm in experiment.all_arms.items():
            model = experiment.model_of(name).name
            notify(f"{name}: {locate(model)}")
            if arm.brings_adapter:
                locate_adapter(arm.adapter, model, f"arms.{name}.adapter")
        if experiment.tunes or any(arm.ask == "translate-test" for arm in experiment.all_arms.values()):
            open_translator()
        if (chosen := experiment.translate).quality and experiment.tunes:
            _ = open_scorer(chosen.quality, chosen.quality_model).version  # made from the model's files
        for reader in (inputs, *map(Inputs, _unrelated(experiment))) if experiment.tunes else ():
            _read_questions(reader)
        _ = inputs.items
    return commits


def _read_questions(inputs: Inputs) -> None:
    """Read the questions in all languages that the source itself has to have."""
    experiment = inputs.experiment
    codes = [experiment.questions.language, experiment.mixture.pivot, *experiment.translate.to]
    for language in dict.fromkeys(codes if experiment.translate.translator in TRANSLATORS else codes[:1]):
        _ = list(inputs.questions_in(language))


def _unrelated(experiment: Experiment) -> list[Experiment]:
    """Return the experiment that has the questions of an unrelated control; none if no part of the mixture is one."""
    recipes = {part.recipe for phase in experiment.mixture.all_phases for part in phase.parts}
    changed = {"questions": experiment.mixture.unrelated}
    return [experiment.model_copy(update=changed)] if "unrelated" in recipes else []


def _refuse_streams(experiment: Experiment) -> None:
    """Refuse sources that are read from the network each time."""
    sources = {"evaluate.source": experiment.evaluate.source}
    if experiment.tunes or not experiment.evaluate.source:
        sources["questions.source"] = experiment.questions.source
    for other in _unrelated(experiment):
        sources["mixture.unrelated.source"] = other.questions.source
    for key, source in sources.items():
        if source.partition(":")[0] in NETWORKED:
            raise SpilloverError(f"{key}: found {source!r}, which is read from the network each time, expected hub:ID")
