"""Read results of other tools: which format a path has, and the languages of its samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from spillover.errors import SpilloverError
from spillover.languages import Language, canonical, from_cldr, lookup
from spillover.records import EXPERIMENT_FILE, Sample
from spillover.runs.samples import harness, inspect, table
from spillover.sources.files import ENDINGS
from spillover.sources.task_names import NamedLanguage, named_languages
from spillover.tasks import PLACEHOLDER
from spillover.tasks.rendered import family_name
from spillover.utils.formatting import listed
from spillover.utils.progress import notify


class Format(NamedTuple):
    """One kind of files."""

    matches: Callable[[Path], bool]
    """Whether a path is of this kind."""
    read: Callable[[Path, str], list[Sample]]
    """Path, metric → samples."""
    label: Callable[[Path], str]
    """Path → what it says about its arm, as a name; it need not differ between arms."""


FORMATS: Mapping[str, Format] = {
    "lm-evaluation-harness": Format(harness.matches, harness.read, harness.label),
    "inspect": Format(inspect.matches, inspect.read, inspect.label),
    "table": Format(table.matches, table.read, table.label),
}
"""Name of a format → how it is told and read. The first that matches counts."""


@dataclass(frozen=True, slots=True)
class SampleArms:
    """The results of several arms, by the name of the arm."""

    samples: Mapping[str, Sequence[Sample]]
    """Name → samples, their languages as codes; the reference first."""
    brought: tuple[Language, ...]
    """The languages among them that this project does not have."""


def is_samples(path: Path) -> bool:
    """Return whether an argument of `compare` means results of other tools, by its name or what lies there."""
    if path.is_dir():
        return not (path / EXPERIMENT_FILE).exists() and any(form.matches(path) for form in FORMATS.values())
    return path.is_file() or path.suffix.lower().removeprefix(".") in (*ENDINGS, "eval", "gz")


def read_arms(paths: Sequence[Path], metric: str = "", language: str = "") -> SampleArms:
    """Read the results of several arms, the reference first.

    Args:
        paths: a file or a folder per arm.
        metric: which score is read, as the format names it; empty: the format's default.
        language: the language of samples whose file has none; empty: the name of their task says it.

    Raises:
        SpilloverError: fewer than two arms, a path of no known format, samples without a language, or arms that were
            scored by different metrics.
    """
    if len(paths) < 2:
        raise SpilloverError(f"compare: found only {paths[0]}, expected two files or more, the reference first")
    formats = [_format(path) for path in paths]
    names = _arm_names(paths, [form.label(path) for form, path in zip(formats, paths, strict=True)])
    samples = {n: form.read(path, metric) for n, form, path in zip(names, formats, paths, strict=True)}
    named = {} if language else named_languages(sorted({s.task for rows in samples.values() for s in rows}))
    written = {sample.language for rows in samples.values() for sample in rows} | {language}
    codes, brought = _codes(written - {""}, {reading.language for reading in named.values()})
    resolved = {
        name: _resolved(rows, named, codes, language, path)
        for (name, rows), path in zip(samples.items(), paths, strict=True)
    }
    _require_one_metric(dict(zip(paths, resolved.values(), strict=True)))
    return SampleArms(resolved, brought)


def _format(path: Path) -> Format:
    if not path.exists():
        raise SpilloverError(f"compare: {path}: found no such file, expected one with the results of an evaluation")
    for form in FORMATS.values():
        if form.matches(path):
            return form
    raise SpilloverError(
        f"compare: {path}: found neither samples of lm-evaluation-harness nor a log of inspect, expected these, or a "
        f"file whose name ends in {listed(list(ENDINGS))}"
    )


def _arm_names(paths: Sequence[Path], labels: list[str]) -> list[str]:
    """Return the labels, if they differ in all arms; else the first part of the paths that does, from their end."""
    resolved = [path.resolve() for path in paths]
    parts = [[*reversed(path.parent.parts), ""] for path in resolved]
    for level in (labels, *map(list, zip(*parts, strict=False))):
        if len(set(level)) == len(level) and all(level):
            return level
    if len(set(resolved)) < len(resolved):
        raise SpilloverError(f"compare: found {paths[0]} twice, expected the results of different arms")
    return [str(path) for path in paths]


def _codes(written: set[str], in_names: set[str]) -> tuple[dict[str, str], tuple[Language, ...]]:
    """Return spelling → code, and the languages that this project does not have.

    What stands in a task's name and is no language has no code. In a column or an option it is refused.
    """
    codes: dict[str, str] = {}
    brought: dict[str, Language] = {}
    for text in sorted(written | in_names):
        row = from_cldr(text)
        if row:
            brought.setdefault(row.code, row)
        if code := row.code if row else lookup(text):
            codes[text] = code
        elif text in written:
            canonical(text, "language")
    return codes, tuple(brought.values())


def _resolved(
    rows: Sequence[Sample], named: Mapping[str, NamedLanguage], codes: Mapping[str, str], language: str, path: Path
) -> list[Sample]:
    """Return samples with their languages as codes; a task whose name says its language gets its family's name."""
    resolved, left_out = [], set()
    for sample in rows:
        reading, written = named.get(sample.task), sample.language or language
        if not written and reading is None:
            raise SpilloverError(
                f"{path}: found no language in task {sample.task!r}, expected a column with it, a task's name that "
                "says it, such as xnli_de, or --language CODE"
            )
        said = codes.get(reading.language) if reading else None
        code = codes[written] if written else said
        if code is None:
            left_out.add(sample.task)
            continue
        task = _family(reading) if reading and said == code else sample.task
        resolved.append(replace(sample, task=task, language=code))
    if left_out:
        notify(f"{path}: leaves out {listed(sorted(left_out))}, whose languages are not known")
    return resolved


def _require_one_metric(arms: Mapping[Path, Sequence[Sample]]) -> None:
    """Refuse a cell whose scores are of one metric in one arm, and of another metric in another."""
    first: dict[tuple[str, str], tuple[str, Path]] = {}
    for path, samples in arms.items():
        for task, language, metric in dict.fromkeys((s.task, s.language, s.metric) for s in samples if s.metric):
            before, other = first.setdefault((task, language), (metric, path))
            if metric != before:
                raise SpilloverError(
                    f"compare: {task} {language}: found scores by {before!r} in {other} and by {metric!r} in {path}, "
                    "expected one metric in all arms; name it by --metric"
                )


def _family(reading: NamedLanguage) -> str:
    """Return the name of a family as a task."""
    return "samples" if reading.family == PLACEHOLDER else family_name(reading.family)
