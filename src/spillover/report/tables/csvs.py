"""What a run found, as CSV for other programs: every number in full, shares of 1 rather than percent.

Pure: findings in, texts out. Lines end in LF, a value that does not exist is empty.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

from spillover.languages import languages
from spillover.records import (
    ArmMetrics,
    Defect,
    Estimate,
    Findings,
    Forgetting,
    Gain,
    LanguageNeurons,
    LensSummary,
    Summary,
)
from spillover.report.tables import geometry as geometry_table
from spillover.report.tables import run
from spillover.report.tables.run import blocks
from spillover.utils.formatting import ascii_minus


def main(findings: Findings) -> str:
    """Return the main table: a row a task and arm, a column a language; as printed there, so in percent."""
    measured = {gain.language for gain in findings.comparison.gains}
    codes = [code for code in languages() if code in measured]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for (task, _), table in zip(blocks(findings.comparison), run.main(findings), strict=True):
        for name, *texts in table.rows:
            numbers = (ascii_minus(text).removeprefix("+") for text in texts)
            rows.setdefault((task, name), {}).update(zip(table.header[1:], numbers, strict=True))
    return _csv(("task", "row", *codes), ([*key, *(found.get(code) for code in codes)] for key, found in rows.items()))


def gains(findings: Findings) -> str:
    """Return a row a task and language with every number of its `Gain`."""
    return _records(Gain, findings.comparison.gains)


def summaries(findings: Findings) -> str:
    """Return a row a task with every number of its `Summary`; its splits have a table of their own."""
    found = (replace(summary, sentence=ascii_minus(summary.sentence)) for summary in findings.comparison.summaries)
    return _records(Summary, found)


def splits(findings: Findings) -> str:
    """Return a row a task and property: the mean difference over the unseen languages that share it."""
    rows = (
        (summary.task, split.by, split.name, ";".join(split.languages), *_parts(split.difference))
        for summary in findings.comparison.summaries
        for split in summary.splits
    )
    return _csv(("task", "by", "name", "languages", *_columns("difference")), rows)


CURVES = ("english", "native", "all_english", "all_native", "entropy", "energy", "english_rank", "native_rank")
"""The curves of a trajectory."""


def lens(findings: Findings) -> str:
    """Return a row an arm, task, language, lens and layer: every curve with its interval, items; depth in [0, 1]."""
    rows = (
        (t.arm, t.task, t.language, t.lens, layer, layer / max(1, len(values) - 1), *point, t.items, t.told)
        for t in findings.inside.trajectories
        for curves in [[getattr(t, name) for name in CURVES]]
        for values in [list(zip(*(part for c in curves for part in (c.value, c.low, c.high)), strict=True))]
        for layer, point in enumerate(values)
    )
    bands = (f"{name}{end}" for name in CURVES for end in ("", "_low", "_high"))
    return _csv(("arm", "task", "language", "lens", "layer", "depth", *bands, "items", "told"), rows)


def latent(findings: Findings) -> str:
    """Return a row a task, language, lens and measure: base, tuned and their difference, each with its interval."""
    return _records(LensSummary, findings.inside.latents)


def neurons(findings: Findings) -> str:
    """Return a row an arm, task, block and language (empty: of any): language neurons by kind."""
    return _records(LanguageNeurons, findings.inside.neurons)


def patches(findings: Findings) -> str:
    """Return a row an arm, task, source, target and layer: the mean effect in nats; depth is in [0, 1]."""
    rows = (
        (p.arm, p.task, p.source, p.target, layer, layer / max(1, len(p.effects) - 1), effect, p.items)
        for p in findings.inside.patches
        for layer, effect in enumerate(p.effects)
    )
    return _csv(("arm", "task", "source", "target", "layer", "depth", "effect", "items"), rows)


def geometry(findings: Findings) -> str:
    """Return a row an arm, task, metric, layer and ordered pair of languages, to six digits."""
    return _csv(geometry_table.COLUMNS, geometry_table.rows(findings))


def training(findings: Findings) -> str:
    """Return a row a training step, then a row a validation (0: before any step); nats a target token."""
    steps = [("training step", step, loss) for step, loss in enumerate(findings.tuning.losses, start=1)]
    epochs = [("validation epoch", epoch, loss) for epoch, loss in enumerate(findings.tuning.validation)]
    return _csv(("of", "number", "loss"), [*steps, *epochs])


def forgetting(findings: Findings) -> str:
    """Return a row a language with every number of its `Forgetting`; bits per byte."""
    return _records(Forgetting, findings.forgetting)


def doctor(findings: Findings) -> str:
    """Return a row a `Defect`."""
    return _records(Defect, findings.data.defects)


def items(findings: Findings) -> str:
    """Return a row a task, language and item: its gold, both arms' scores (nats, one per label), its cluster."""
    rows = (
        (sheet.task, sheet.language, id, gold, _joined(base), _joined(tuned), cluster)
        for sheet in findings.sheets
        for id, gold, base, tuned, cluster in zip(
            sheet.ids, sheet.gold, sheet.base, sheet.tuned, sheet.clusters or ("",) * len(sheet.ids), strict=True
        )
    )
    return _csv(("task", "language", "id", "gold", "base", "tuned", "cluster"), rows)


CSVS: dict[str, Callable[[Findings], str]] = {
    "main": main,
    "gains": gains,
    "summary": summaries,
    "splits": splits,
    "lens": lens,
    "geometry": geometry,
    "latent": latent,
    "neurons": neurons,
    "patches": patches,
    "training": training,
    "forgetting": forgetting,
    "doctor": doctor,
    "items": items,
}
"""Name of the file → how it is written."""


def _records(kind: type, records: Iterable[Any]) -> str:
    header = [name for name, _ in _flat(kind, None)]
    return _csv(header, ([value for _, value in _flat(kind, record)] for record in records))


def _flat(kind: type, record: Any, prefix: str = "") -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any record
    """Yield (column, value) of each field of a record of this kind, whether or not there is a record.

    An estimate takes four columns. Several numbers in one field (shares of labels) stand in one column, with
    semicolons. Fields that are tables of their own are left out.
    """
    hints = get_type_hints(kind)
    for field in fields(kind):
        value = getattr(record, field.name, None)
        types = {hints[field.name], *get_args(hints[field.name])}
        name = prefix + field.name
        if Estimate in types:
            yield from zip(_columns(name), _parts(value), strict=True)
        elif ArmMetrics in types:
            yield from _flat(ArmMetrics, value, f"{name}_")
        elif not any(is_dataclass(inner) for inner in types):
            yield name, _joined(value) if isinstance(value, tuple) else value


def _joined(values: Iterable[object]) -> str:
    return ";".join(map(str, values))


def _columns(name: str) -> tuple[str, ...]:
    return name, f"{name}_low", f"{name}_high", f"{name}_n"


def _parts(estimate: Estimate | None) -> tuple[float | None, ...]:
    return (None,) * 4 if estimate is None else (estimate.value, estimate.low, estimate.high, estimate.n)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_written(value) for value in row] for row in rows)
    return out.getvalue()


def _written(value: object) -> object:
    if value != value:  # nan alone differs from itself
        return None
    return str(value).lower() if isinstance(value, bool) else value
