"""Tasks by name: a task that ships, a user's TOML file, a family's task, or a user's own function.

A file that extends another task holds only what differs from it.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import get_language
from spillover.plugins import GRADERS, TASK_FAMILIES, resolve
from spillover.tasks.choice import ChoiceTask
from spillover.tasks.generation import GenerationTask
from spillover.utils.paths import expanded_path

TASKS = {
    path.stem: str(path) for path in sorted(Path(str(files("spillover").joinpath("data", "tasks"))).glob("*.toml"))
}
"""Name → file of every task that ships. A file in `data/tasks` is one; nothing else lists it."""


Task = ChoiceTask | GenerationTask
"""A task of any kind. Each kind renders its items and grades a model's results."""

KINDS: dict[str, type[ChoiceTask | GenerationTask]] = {"choice": ChoiceTask, "generation": GenerationTask}
"""The `kind` that a file says → its task. A file that says none has labels."""


def has_labels(task: Task) -> TypeGuard[ChoiceTask]:
    """Whether every item has the task's own labels as its choices. Others bring choices, or are answered in words."""
    return isinstance(task, ChoiceTask) and bool(task.labels)


def open_task(name: str, where: str = "task") -> Task:
    """Return a task by its name.

    Args:
        name: a task that ships; the path of a TOML file; a family and its member (`harness:xnli_{language}`); or a
            user's own `package.module:function`, which returns a task.
        where: the key that the name came from, for errors.

    Raises:
        SpilloverError: there is no such task, or its file is not as it should be.
    """
    family, _, member = name.partition(":")
    if family in TASK_FAMILIES:
        of_family: Task = resolve(TASK_FAMILIES, family, where)(member)
        return of_family
    if name in TASKS:
        return _shipped(name)
    if name.endswith(".toml"):
        return load_task(Path(name))
    task: Task = resolve(TASKS, name, where)()
    return task


def open_labeled_task(name: str) -> ChoiceTask:
    """Return a task by its name, one whose items all have the task's own labels.

    Raises:
        SpilloverError: its items bring choices of their own, or are answered in words.
    """
    task = open_task(name)
    if not has_labels(task):
        raise SpilloverError(f"task {name!r}: found no labels, expected a task with labels of its own")
    return task


def open_written_task(name: str) -> GenerationTask:
    """Return a task by its name, one that is answered in words.

    Raises:
        SpilloverError: its items have choices.
    """
    task = open_task(name)
    if not isinstance(task, GenerationTask):
        raise SpilloverError(f"task {name!r}: found choices, expected a task answered in words")
    return task


@cache
def _shipped(name: str) -> Task:
    return load_task(Path(TASKS[name]))


def load_task(path: Path) -> Task:
    """Read a task from its TOML file, with all that it inherits from the task it extends.

    Raises:
        SpilloverError: the file cannot be read, is a draft, does not fit together, or extends a task that it must not.
    """
    return _load(path, ())


def _load(path: Path, extending: tuple[Path, ...]) -> Task:
    """Read a task; `extending` are the files, outermost first, that extend it."""
    table = _read(path)
    if "extends" in table:
        table = _merged(_inherited(path, table.pop("extends"), (*extending, path)), table)
    kind = table.get("kind", "choice")
    if kind not in KINDS:
        raise SpilloverError(f"{path}: kind: found {kind!r}, {did_you_mean(str(kind), KINDS)}")
    try:
        task = KINDS[kind].model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SpilloverError(f"{path}: {place}: found {first['input']!r}, expected: {first['msg']}") from error
    if task.draft:
        raise SpilloverError(
            f"{path}: found a draft that nobody has confirmed; correct its rows, then delete the line `draft = true`"
        )
    _check(task, str(path))
    return task


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpilloverError(f"{path}: cannot read the task: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SpilloverError(f"{path}: not valid TOML: {error}") from error


def _inherited(path: Path, name: object, extending: tuple[Path, ...]) -> dict[str, Any]:
    """Return the table of the task that the file at `path` extends; a file's name counts from the folder of `path`."""
    where = f"{path}: extends"
    if not isinstance(name, str):
        raise SpilloverError(f"{where}: found {name!r}, expected the name of a task or a TOML file")
    if name.endswith(".toml"):
        base = _base(path.parent / expanded_path(name), extending, where)
    else:
        base = open_task(name, where)
    if not base.rows:
        raise SpilloverError(f"{where}: found {name!r}, expected a task with fields and words of its own")
    return base.model_dump()


def _base(path: Path, extending: tuple[Path, ...], where: str) -> Task:
    if path.resolve() in [file.resolve() for file in extending]:
        circle = " → ".join(file.name for file in (*extending, path))
        raise SpilloverError(f"{where}: found the circle {circle}, expected a task that does not extend itself")
    try:
        return _load(path, extending)
    except SpilloverError as error:
        raise SpilloverError(f"{where}: {error}") from error


def _merged(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the keys of its base that it lacks, at every depth."""
    both = {
        key: _merged(base[key], value)
        for key, value in table.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **table, **both}


def _check(task: Task, where: str) -> None:
    """Refuse a table whose parts do not fit together, with the place."""
    if isinstance(task, ChoiceTask):
        _check_labels(task, where)
        texts, exemplars = len(task.fields), len(task.exemplar_labels)
    else:
        _check_grading(task, where)
        texts, exemplars = len(task.fields) + 1, max((len(row.exemplars) for row in task.rows.values()), default=0)
    for code, row in task.rows.items():
        get_language(code, f"{where}: rows")
        expected = {
            "fields": (len(row.fields), len(task.fields)),
            "exemplars": (len(row.exemplars), exemplars),
            "texts of an exemplar": (next((n for n in map(len, row.exemplars) if n != texts), texts), texts),
        }
        for part, (count, wanted) in expected.items():
            if count != wanted:
                raise SpilloverError(f"{where}: rows.{code}: found {count} {part}, expected {wanted}")


def _check_labels(task: ChoiceTask, where: str) -> None:
    unknown = [label for label in task.exemplar_labels if label not in task.labels]
    if unknown:
        raise SpilloverError(f"{where}: exemplar_labels: found {unknown[0]!r}; {did_you_mean(unknown[0], task.labels)}")
    words = {"labels": task.labels, "agnostic": task.agnostic}
    words |= {f"rows.{code}: labels": row.labels for code, row in task.rows.items()}
    for part, labels in words.items():
        if len(labels) != len(task.labels) or len(set(labels)) != len(labels):
            raise SpilloverError(
                f"{where}: {part}: found {len(labels)} words {labels}, expected {len(task.labels)} different ones"
            )


def _check_grading(task: GenerationTask, where: str) -> None:
    if task.answer_language not in ("item", "any"):
        get_language(task.answer_language, f"{where}: answer_language")
    resolve(GRADERS, task.grader, f"{where}: grader")
    if "" in task.stop:
        raise SpilloverError(f"{where}: stop: found an empty text, expected texts that end an answer")
