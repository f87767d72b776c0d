"""The reference of the experiment file: every key with type, default and meaning, from the models that check it."""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from spillover import plugins
from spillover.experiment import Experiment
from spillover.experiment.section import Section

Schema = Mapping[str, Any]

PLUGINS: dict[str, Mapping[str, str]] = {
    "questions.source": plugins.SOURCES,
    "translate.with": plugins.TRANSLATORS | plugins.TRANSLATION_ENGINES,
    "translate.quality": plugins.QUALITY_SCORERS,
    "mixture.recipe": plugins.RECIPES,
    "mixture.phases.parts.recipe": plugins.RECIPES,
    "analyze.lenses": plugins.LENSES,
    "analyze.metrics": plugins.METRICS,
}
"""Key → the table of the plug-ins that it names."""

SAME_KEYS = {"mixture.unrelated": "questions"}
"""Section → the section whose keys it has."""

PRIMITIVES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
"""Type in a JSON schema → in words."""

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
"""Bound of a number in a JSON schema → its sign."""

LARGEST = 2**31
"""Bounds above this are those of the computer, not of the key."""

INTRODUCTION = """# Keys of the experiment file

*Reference: every key of an experiment, with its type, its default and its meaning.*

The docs build makes this page from the models that check an experiment file, so it has every key. An experiment file
is TOML. Each key has a default, except in tables whose rows you name. A key can also be set on the command line:
`--set tune.epochs=1`. A value that is not TOML is read as text. If a key or value is wrong, the error names the key,
the value and the values expected.
"""


def page() -> str:
    """Return the page in Markdown."""
    schema = Experiment.model_json_schema()
    return INTRODUCTION + "".join(_sections(schema, schema, ""))


def meanings(section: type[Section]) -> dict[str, str]:
    """Return the docstring below each key of a section, also of the sections that it extends; name → text."""
    texts: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if issubclass(each, Section) and each is not Section:
            (body,) = ast.parse(inspect.getsource(each)).body
            assert isinstance(body, ast.ClassDef)
            for field, text in zip_longest(body.body, body.body[1:]):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    texts[field.target.id] = _docstring(text)
    return texts


def sections(section: type[Section] = Section) -> dict[str, type[Section]]:
    """Return every section by the name of its class."""
    below = {each.__name__: each for each in section.__subclasses__()}
    return below | {name: each for parent in below.values() for name, each in sections(parent).items()}


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return inspect.cleandoc(str(statement.value.value)).replace("\n", " ")
    return ""


def _sections(section: Schema, whole: Schema, path: str) -> Iterator[str]:
    """Yield the part of a section, and those of the sections in it, each once."""
    model = sections()[section["title"]]
    texts = {field.serialization_alias or name: meanings(model)[name] for name, field in model.model_fields.items()}
    rows, inner = [], []
    for key, value in section["properties"].items():
        place = f"{path}.{key}" if path else key
        name = _section_name(value)
        if name:
            header = f"[[{place}]]" if "items" in value else f"[{place}]"
            inner.append((header if "$ref" in value or "items" in value else f"[{place}.NAME]", place, name))
        if not name or texts[key]:
            rows.append(f"| `{key}` | {_type(value, place)} | {_default(value, name)} | {texts[key]} |\n")
    if path:
        yield f"\n{inspect.cleandoc(model.__doc__ or '')}\n"
    else:
        yield "\n## Above all sections\n"
    if rows:
        yield "\n| key | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)
    for header, place, name in inner:
        yield f"\n## `{header}`\n"
        if place in SAME_KEYS:
            yield f"\nIts keys are those of [`[{SAME_KEYS[place]}]`](#{SAME_KEYS[place]}).\n"
        else:
            yield from _sections(whole["$defs"][name], whole, place)


def _section_name(schema: Schema) -> str:
    """Return the name of the section's class that a key holds, or rows of; else an empty text."""
    rows = [schema.get("items", {}), *schema.get("patternProperties", {}).values()]
    return next((each["$ref"].rpartition("/")[2] for each in (schema, *rows) if "$ref" in each), "")


def _type(schema: Schema, place: str = "") -> str:
    """Return a key's type in words."""
    if place in PLUGINS:
        names = ", ".join(f"`{json.dumps(name)}`" for name in PLUGINS[place])
        return f"{'list of ' if 'items' in schema else ''}{names}, or your own `package.module:attribute`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"] if each.get("type") != "null"))
    if "$ref" in schema:
        return "section"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kind = schema.get("type")
    if kind == "array":
        rows = schema.get("prefixItems")
        return f"list of {len(rows)}: {_type(rows[0])}" if rows else f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        rows = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        row = next((each for each in rows if isinstance(each, Mapping)), {})
        return f"table: name → {_type(row)}"
    signs = [f"{sign} {schema[bound]:g}" for bound, sign in BOUNDS.items() if schema.get(bound, LARGEST) < LARGEST]
    return " ".join([PRIMITIVES.get(str(kind), "any value"), ", ".join(signs)]).strip()


def _default(schema: Schema, section: str) -> str:
    if "default" not in schema:
        return "`{}`" if schema.get("type") == "object" else "required"
    if section:
        return "none" if schema["default"] in ([], ()) else "section"
    value = schema["default"]
    return "unset" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
