"""The work of `report`: the arms compared, the quality of the data, and the report drawn from all findings."""

import json
from collections.abc import Mapping, Sequence

from spillover.analysis.statistics.gains import compare_pairs
from spillover.experiment import Experiment
from spillover.records import CLUSTERS_FILE, Cell, Comparison, Data, Defect, Findings, Result
from spillover.report import code_digest
from spillover.stages.arms import Arm
from spillover.stages.build import TrainingSet
from spillover.stages.evaluate import by_arm
from spillover.stages.items import Items, clusters, machine_translated
from spillover.stages.quality import distributions, pair_checks
from spillover.stages.translate import TranslatedQuestions
from spillover.store import Store


def compare_arms(
    experiment: Experiment, arms: Sequence[Arm], items: Items, results: Mapping[Cell, Sequence[Result]]
) -> tuple[Comparison, ...]:
    """Compare the pairs of arms that the experiment names, the primary comparison first."""
    return compare_pairs(
        by_arm(arms, results),
        experiment.pairs,
        clusters=clusters(items),
        tuned_on=experiment.tuned_on,
        pivot=experiment.pivot,
        margin=experiment.report.margin / 100,
        correction=experiment.report.correction,
        tuned=experiment.tunes,
    )


def data_quality(
    experiment: Experiment,
    defects: Sequence[Defect],
    items: Items,
    training: TrainingSet | None,
    translated: TranslatedQuestions | None,
) -> Data:
    """Return the quality of the data: defects, leakage, the pairs' flags and scores, machine-translated test sets.

    Args:
        experiment: says which flags and scores are checked.
        defects: of the data, errors first.
        items: the items measured.
        training: the training set; None if nothing is tuned.
        translated: the pairs; None if nothing is tuned on pairs.
    """
    return Data(
        defects=tuple(defects),
        overlap=training.overlap if training else "",
        pairs=pair_checks(experiment.translate, translated.pairs.values(), translated.unread) if translated else (),
        translated=machine_translated(items),
        quality=distributions(experiment.translate, translated.scores) if translated else (),
    )


def write_report(store: Store, items: Items, findings: Findings) -> None:
    """Write tables, figures and the page, unless these findings were drawn before by the same code."""
    store.save(CLUSTERS_FILE, json.dumps(clusters(items), ensure_ascii=False))
    store.replace("report", [findings, code_digest()], lambda: _render(findings))


def _render(findings: Findings) -> dict[str, str | bytes]:
    from spillover.report.run import render  # altair and a browser engine load slowly

    return render(findings)
