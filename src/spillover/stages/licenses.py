"""The licenses of all works that an experiment uses: models, translator, quality estimation, questions and items."""

from collections.abc import Iterator

from spillover.experiment import Experiment
from spillover.plugins import TRANSLATORS
from spillover.records import License
from spillover.translate.prompts import PROMPTED_MODELS
from spillover.utils.licenses import NOT_RECORDED, find_license
from spillover.utils.progress import notify

ONE_FAMILY = {*PROMPTED_MODELS, "madlad"}
"""Engines whose models all have one license, whatever the name of the model."""

OWN = ("folder",)
"""Kinds of sources whose texts are the user's own."""


def licenses(experiment: Experiment) -> tuple[License, ...]:
    """Return the licenses of the works that an experiment uses, each work once."""
    return tuple(dict.fromkeys(_licenses(experiment)))


def tell_restriction(experiment: Experiment) -> None:
    """Tell the user what the licenses of translator and scorer restrict, before anything is translated."""
    for terms in (translator_license(experiment), _scorer_license(experiment)):
        if terms and terms.restriction:
            notify(str(terms))


def translator_license(experiment: Experiment) -> License | None:
    """Return the license of the engine that translates; None if the source has its own translations."""
    chosen = experiment.translate
    if chosen.translator in TRANSLATORS:
        return None
    names = [chosen.model] if chosen.model else [chosen.translator]
    if chosen.translator in ONE_FAMILY:
        names.append(chosen.translator)
    return _license("translator", " ".join(filter(None, (chosen.translator, chosen.model))), *names)


def _licenses(experiment: Experiment) -> Iterator[License]:
    for name in experiment.all_arms:
        model = experiment.model_of(name).name
        yield _license("model", model, model)
    translates = experiment.tunes or any(arm.ask == "translate-test" for arm in experiment.all_arms.values())
    if translates and (translator := translator_license(experiment)):
        yield translator
    if scorer := _scorer_license(experiment):
        yield scorer
    sources = {"items": experiment.evaluate.source or experiment.questions.source}
    if experiment.tunes:
        sources = {"questions": experiment.questions.source} | sources
    for role, source in sources.items():
        kind, _, rest = source.partition(":")
        if kind not in OWN:
            yield _license(role, source, rest.partition(":")[0] if kind in ("hub", "stream") else kind)


def _scorer_license(experiment: Experiment) -> License | None:
    name, model = experiment.translate.quality, experiment.translate.quality_model
    return _license("quality estimation", " ".join(filter(None, (name, model))), model or name) if name else None


def _license(role: str, work: str, *names: str) -> License:
    row = find_license(names)
    if row is None:
        return License(role, work, NOT_RECORDED, "", "")
    return License(role, work, row.terms, row.restriction, row.address)
