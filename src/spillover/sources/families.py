"""Families of lm-evaluation-harness's tasks: which task or group of tasks stands for which language.

Reads the harness's index of YAML files, and the files that the harness ignores without a word. Loads no data.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from spillover.errors import SpilloverError, first_line
from spillover.languages import Language, get_language, known_languages, languages, lookup, other_script
from spillover.plugins import missing_package
from spillover.sources.task_names import without_language
from spillover.tasks import PLACEHOLDER
from spillover.utils.progress import notify

MAX_ERROR_LENGTH = 300
"""Most characters of another program's error that an error repeats."""

ENDINGS = (".yaml", ".yml")
"""Endings of YAML files, in any case; the harness reads only the first."""

IGNORED = frozenset(["__pycache__", ".ipynb_checkpoints"])
"""Folders that the harness passes over on purpose."""

_SCRIPT = re.compile(r"[_-]([A-Za-z]{4})(?![A-Za-z])")
"""A script's code where it follows the placeholder of a family, as in `piqa_{language}_latn`."""

_NAMED = re.compile(r"^(?:task|group)\s*:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
"""The name in a YAML file that cannot be parsed."""


class FamilyError(SpilloverError):
    """A task of a family cannot be read. `cause` is the same in every language with the same fault."""

    def __init__(self, message: str, cause: str) -> None:
        """Make the sentence; `cause` is the kind of fault, without the task's name and file."""
        super().__init__(message)
        self.cause = cause


@cache
def manager(folder: str) -> Any:  # noqa: ANN401 - the harness is not typed
    """Return the index of all tasks: the harness's own, and a folder's."""
    try:
        from lm_eval.tasks import TaskManager
    except ModuleNotFoundError as error:
        raise SpilloverError(missing_package(error, "evaluate.tasks")) from error
    return TaskManager(include_path=folder or None)


def members(family: str) -> dict[str, str]:
    """Return language code → name of the family's task or group in that language, in the paper's order.

    Raises:
        SpilloverError: the family has no language, or a YAML file of its folder is lost to the harness.
    """
    return members_among(family, tuple(known_languages().values()))


@cache
def members_among(family: str, known: tuple[Language, ...]) -> dict[str, str]:
    """Return what `members` does where these languages are known: an experiment may bring some."""
    folder, _, pattern = family.rpartition("/")
    if folder and not Path(folder).is_dir():
        raise SpilloverError(f"harness:{family}: found no folder {folder!r}")
    index = _index(family)
    if folder:
        _refuse_lost_files(family, folder, pattern, index)
    names = _names(pattern, index)
    if not names:
        near = ", ".join(get_close_matches(pattern.replace(PLACEHOLDER, "en"), index, n=5)) or "none"
        raise SpilloverError(f"harness:{family}: found no such task in any language; tasks of like names: {near}")
    preferred = {row.code: _preferred(row.code, names[row.code], pattern) for row in known if row.code in names}
    chosen = {code: name for code, name in preferred.items() if name}
    for code in preferred.keys() - chosen.keys():
        notify(f"harness:{family}: leaves out {code!r}: {_several(names.pop(code), pattern)}")
    default = languages()
    if lacking := [code for code in default if code not in chosen]:
        others = sum(code not in default for code in chosen)
        there = [*(code for code in chosen if code in default), *([f"{others} others"] if others else [])]
        notify(f"harness:{family}: has {', '.join(there)}; has no {', '.join(lacking)}")
    if rest := sorted({name for several in names.values() for name in several}.difference(chosen.values())):
        notify(f"harness:{family}: leaves out {', '.join(rest)}, whose languages it has under other names")
    return chosen


def why_absent(family: str, language: str) -> str:
    """Return why a family has no member for a language: nothing is known but where it has several."""
    _, _, pattern = family.rpartition("/")
    several = _names(pattern, _index(family)).get(language, [])
    return _several(several, pattern) if len(several) > 1 else f"found no task for {language!r}"


def _names(pattern: str, index: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return language → every name of the index that is the family's in this language."""
    names: dict[str, list[str]] = {}
    for name in index:
        if code := _language_of(name, pattern):
            names.setdefault(code, []).append(name)
    return names


def _several(names: Sequence[str], pattern: str) -> str:
    """Return that tasks of one language have to be told apart, by what follows the language in a name."""
    before, _, _ = pattern.partition(PLACEHOLDER)
    ends = sorted(name[len(before) :].rpartition("_")[2] for name in names)
    families = " or ".join(pattern.replace(PLACEHOLDER, f"{PLACEHOLDER}_{end}", 1) for end in ends)
    return f"found the tasks {', '.join(sorted(names))} for one language, expected one of the families {families}"


def yaml_path(family: str, name: str) -> Path | None:
    """Return the YAML file that a task or group stands in; None where there is none."""
    entry = _index(family).get(name)
    return Path(entry.yaml_path) if entry and entry.yaml_path else None


def yaml_file(family: str, name: str) -> str:
    """Return the path of the YAML file that a task or group stands in, in parentheses; empty where there is none."""
    path = yaml_path(family, name)
    return f" ({path})" if path else ""


def reason(error: BaseException) -> str:
    """Return what the harness, a YAML file or its code raised, on one line."""
    if type(error).__name__ == "DatasetGenerationError" and error.__cause__:  # its own message names no cause
        error = error.__cause__
    if mark := getattr(error, "problem_mark", None):
        return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', 'not valid YAML')}"
    if isinstance(error, StopIteration) or "StopIteration" in str(error):  # how `datasets` reports a file without rows
        return "a data file holds no rows"
    name, reason = type(error).__name__, first_line(error)
    return name if reason == name else f"{name}: {_shortened(reason)}"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_ERROR_LENGTH else f"{text[:MAX_ERROR_LENGTH]}…"


def parts(family: str) -> dict[str, dict[str, str]]:
    """Return language → task of its group → what tells it from the group's other tasks, alike in every language.

    The group's name goes; where the tasks' names say their language elsewhere (`xcopa_it`, `xcopa_th`), that goes too,
    if only then the groups of most languages have the same parts. A task that is no group has one part, without a name.
    """
    return _parts(family, tuple(known_languages().values()))


@cache
def _parts(family: str, known: tuple[Language, ...]) -> dict[str, dict[str, str]]:
    """Return what `parts` does where these languages are known."""
    index = _index(family)
    leaves = {code: [*_leaves(index, name)] for code, name in members(family).items()}
    best: dict[str, dict[str, str]] = {}
    most = 0
    for name_part in (lambda leaf, code: leaf, without_language):
        named = {
            code: {leaf: name_part(leaf.removeprefix(members(family)[code]), code) for leaf in names}
            for code, names in leaves.items()
        }
        distinct = [frozenset(of.values()) for of in named.values() if len(set(of.values())) == len(of)]
        agreeing = max(Counter(distinct).values(), default=0)
        if agreeing > most or not best:
            best, most = named, agreeing
    return best


def _index(family: str) -> dict[str, Any]:
    """Return name → entry of every task, group and tag that the harness finds for a family."""
    folder, _, _ = family.rpartition("/")
    try:
        index = manager(folder).task_index
    except SpilloverError:
        raise
    except Exception as error:  # a name that is no text, for one
        files = [lost for lost in _lost_files(folder, {}) if lost.kind == "name"] if folder else []
        fault = f"{files[0].path}: {files[0].fault}" if files else f"cannot list the tasks: {reason(error)}"
        raise SpilloverError(f"harness:{family}: {fault}") from error
    return {name: entry for name, entry in index.items() if isinstance(name, str)}


def _leaves(index: Mapping[str, Any], name: str, within: str = "") -> Iterator[str]:
    """Yield the names of the tasks that a task, a group or a tag consists of, as the harness calls them."""
    entry = index.get(name)
    if entry is None:
        yield f"{within}::{name}"  # a task that is written into its group
        return
    listed = (entry.cfg or {}).get("task")
    if isinstance(listed, list):
        for member in listed:
            leaf = member.get("group", member.get("task")) if isinstance(member, dict) else member
            if isinstance(leaf, str) and leaf != name:
                yield from _leaves(index, leaf, name)
    elif entry.cfg is None and entry.tags:
        yield from sorted(entry.tags)
    else:
        yield name


def _language_of(name: str, pattern: str) -> str | None:
    """Return the language that a name has where the pattern has its placeholder; None where it is no member."""
    before, _, after = pattern.partition(PLACEHOLDER)
    after = after.replace(PLACEHOLDER, "")
    written = name[len(before) : len(name) - len(after)]
    if not written or name != f"{before}{written}{after}":
        return None
    script = _SCRIPT.match(after)
    if script and (code := lookup(f"{written}_{script[1]}")):  # `hin_latn` is not Hindi, but Hindi in another script
        return code
    if script and other_script(f"{written}_{script[1]}"):
        return None
    return lookup(written)


def _preferred(code: str, names: Sequence[str], pattern: str) -> str | None:
    """Return the one of a language's members that is spelled as this project does, or as the first tool known does.

    None where there are several and none is spelled so, such as those of two countries.
    """
    row = get_language(code)
    spellings = [pattern.replace(PLACEHOLDER, text) for text in (code, row.nllb, row.iso639_3, row.google, row.lingua)]
    return next((name for name in spellings if name in names), names[0] if len(names) == 1 else None)


@dataclass(frozen=True, slots=True)
class _Lost:
    """A YAML file that the harness ignores without a word."""

    path: Path
    """The file."""
    names: frozenset[str]
    """Names of tasks that it may define: those in it, and its own."""
    kind: Literal["broken", "ending", "key", "name", "twice", "template"]
    """What is wrong with it; a template, which other files include, may have no name."""
    fault: str
    """The fault in words."""


def _refuse_lost_files(family: str, folder: str, pattern: str, index: Mapping[str, Any]) -> None:
    """Refuse a file of the family that the harness passes over; say which others cannot be parsed."""
    for lost in _lost_files(folder, index):
        if any(_language_of(name, pattern) for name in lost.names):
            raise SpilloverError(f"harness:{family}: {lost.path}: {lost.fault}")
        if lost.kind == "broken":
            notify(f"harness:{family}: {lost.path} is not read: {lost.fault}")


def _lost_files(folder: str, index: Mapping[str, Any]) -> Iterator[_Lost]:
    """Yield every YAML file of a folder that no entry of the index stands in, or that loses a key."""
    read = {entry.yaml_path for entry in index.values()}
    for path in sorted(Path(folder).rglob("*")):
        looked_at = path.suffix.lower() in ENDINGS and IGNORED.isdisjoint(path.parts) and path.is_file()
        if looked_at and (lost := _repeated_key(path) if path in read else _inspect(path, index)):
            yield lost


def _repeated_key(path: Path) -> _Lost | None:
    """Return that a file says a key twice, of which the harness keeps the last; None where it does not."""
    import yaml

    text = path.read_bytes()
    keys = Counter(str(key.value) for key, _ in yaml.compose(text, yaml.SafeLoader).value)
    repeated = [key for key, count in keys.items() if count > 1]
    names = frozenset([path.stem, *_NAMED.findall(text.decode("utf-8", errors="replace"))])
    return _Lost(path, names, "key", f"found the key {repeated[0]!r} twice, expected each once") if repeated else None


def _inspect(path: Path, index: Mapping[str, Any]) -> _Lost | None:
    """Return why a file is not in the index; None where nothing is wrong with it."""
    from lm_eval.tasks._yaml_loader import load_yaml

    stem, names = frozenset([path.stem]), frozenset([path.stem])
    try:
        names |= frozenset(_NAMED.findall(path.read_text(encoding="utf-8", errors="replace")))
        config = load_yaml(path, resolve_func=False)
    except Exception as error:  # whatever a user's file makes the parser raise
        return _Lost(path, names, "broken", reason(error))
    name = config.get("group", config.get("task"))
    if path.suffix != ".yaml":
        return _Lost(path, names, "ending", "the harness reads only files whose names end in .yaml")
    if not {"task", "group", "class"} & config.keys():
        return _Lost(path, stem, "template", "found no task and no group in it, expected one")
    if not isinstance(name, str):
        return _Lost(path, stem, "name", f"found the name {name!r}, expected a text")
    if name in index:
        return _Lost(path, names, "twice", f"found the name {name!r} of {index[name].yaml_path} again")
    return None
