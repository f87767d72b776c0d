"""Language neurons as tables: how many there are, what two arms share, what switching them off changes. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from spillover.languages import get_language
from spillover.records import Deactivation, Findings, LanguageNeurons, NeuronOverlap
from spillover.report.tables.table import Table
from spillover.utils.formatting import change_with_interval, plural, with_interval

SCORES = {"lape": "LAPE", "peaked-lape": "LAPE less the highest probability"}
"""Name of a score → its words."""

TOKENS = {"prompts": "in the items' texts", "answers": "in the right answers"}
"""Tokens that are counted → their words."""


def neurons(findings: Findings) -> list[Table]:
    """Return a table per task, kind of tokens and score: a row per language, its neurons over all blocks, per arm."""
    kinds: dict[tuple[str, str, str], list[LanguageNeurons]] = {}
    for count in findings.internals.neurons:
        kinds.setdefault((count.task, count.tokens, count.score), []).append(count)
    return [_neuron_table(counts) for counts in kinds.values()]


def _neuron_table(counts: Sequence[LanguageNeurons]) -> Table:
    arms = list(dict.fromkeys(count.arm for count in counts))
    first, by_cell = counts[0], defaultdict[tuple[str, str], list[LanguageNeurons]](list)
    for count in counts:
        by_cell[count.language, count.arm].append(count)
    return Table(
        f"{first.task}: MLP neurons per language {TOKENS[first.tokens]}, by {SCORES[first.score]}, over all blocks. "
        "Specific neurons are active in one language, related ones in several. The thresholds are those of "
        f"{arms[0]} in all arms. Counts per block are in neurons.csv.",
        ("language", *(f"{kind}, {arm}" for kind in ("specific", "related") for arm in arms)),
        tuple(
            _neuron_row([by_cell[code, arm] for arm in arms], code)
            for code in dict.fromkeys(count.language for count in counts)
        ),
    )


def _neuron_row(by_arm: Sequence[Sequence[LanguageNeurons]], code: str) -> tuple[str, ...]:
    sums = (*(sum(c.specific for c in arm) for arm in by_arm), *(sum(c.related for c in arm) for arm in by_arm))
    return (get_language(code).name if code else "any language", *map(str, sums))


def overlaps(findings: Findings) -> list[Table]:
    """Return a table per two arms, task, kind of tokens and score: a row per language, shared neurons, null."""
    kinds: dict[tuple[str, ...], list[NeuronOverlap]] = {}
    for row in findings.internals.overlaps:
        kinds.setdefault((row.reference, row.arm, row.task, row.tokens, row.score), []).append(row)
    return [_overlap_table(rows) for rows in kinds.values()]


def _overlap_table(rows: Sequence[NeuronOverlap]) -> Table:
    first = rows[0]
    return Table(
        f"{first.task}: neurons of a language in both {first.reference} and {first.arm}, {TOKENS[first.tokens]}, by "
        f"{SCORES[first.score]}. By chance: the mean, and the central 95%, for random sets with as many neurons in "
        "every block.",
        ("language", first.reference, first.arm, "in both", "by chance", "p"),
        tuple(
            (
                get_language(row.language).name,
                *(str(row.in_reference), str(row.in_arm), str(row.shared)),
                f"{row.expected:.1f} [{row.null_low}, {row.null_high}]",
                f"{row.p_value:.2g}",
            )
            for row in rows
        ),
    )


def deactivations(findings: Findings) -> list[Table]:
    """Return a table per arm and task: a row per language switched off and language measured."""
    kinds: dict[tuple[str, str], list[Deactivation]] = {}
    for row in findings.internals.deactivations:
        kinds.setdefault((row.arm, row.task), []).append(row)
    return [_deactivation_table(rows) for rows in kinds.values()]


def _deactivation_table(rows: Sequence[Deactivation]) -> Table:
    first = rows[0]
    return Table(
        f"{first.task}, {first.arm}: effect of switching off a language's neurons (by {SCORES[first.score]}). The "
        "excess is the effect less the mean effect of as many random neurons of the same blocks "
        f"({plural(first.draws, 'draw')}), with 95% intervals over items and draws. p: the share of the draws, and of "
        "the neurons themselves, that do as much harm or more.",
        (
            *("switched off", "measured", "neurons", "accuracy, points", "excess", "p"),
            *("bits per byte", "excess", "p"),
        ),
        tuple(_deactivation_row(row) for row in rows),
        keys=2,
    )


def _deactivation_row(row: Deactivation) -> tuple[str, ...]:
    return (
        get_language(row.off).name,
        get_language(row.language).name,
        str(row.neurons),
        with_interval(row.accuracy),
        with_interval(row.accuracy_excess),
        f"{row.accuracy_p:.2g}",
        change_with_interval(row.bits, digits=3),
        change_with_interval(row.bits_excess, digits=3),
        f"{row.bits_p:.2g}",
    )
