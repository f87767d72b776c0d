"""Families of lm-evaluation-harness's tasks that are answered in words: their limits, stops, filters and metric.

All of it stands in the YAML files; no data are read here. An answer is graded as the harness does it: by a filter of
the family and by exact match, with the harness's own functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Answer, Grade, Item, Length, Prompt
from spillover.sources.families import FamilyError, members, parts, reason, yaml_path
from spillover.sources.family_options import split_options
from spillover.tasks import ChoiceTask, GenerationTask
from spillover.tasks.rendered import family_name, harness

OUTPUT_TYPE = "generate_until"

NORMALIZED: Mapping[str, Length] = {"acc_norm": "characters", "acc_bytes": "bytes"}
"""Metric of a family with choices → the length of a choice by which it divides log-probabilities."""

METRIC = "exact_match"
"""The only metric of answers in words that is read: it gives one item a score."""

MAX_TOKENS = 256
"""Most tokens of an answer where a family says nothing: the harness's own default."""

INVALID = "[invalid]"
"""What the harness's filters put in place of an answer in which they find nothing."""

FILTER = "#"
"""Stands between a family and one of its filters: `harness:mgsm_direct_{language}#flexible-extract`."""


@dataclass(frozen=True, slots=True)
class WrittenRules:
    """How one language's task ends and grades an answer."""

    max_tokens: int
    """Most tokens of an answer."""
    stop: tuple[str, ...]
    """Texts that end an answer."""
    extract: Callable[[str], str]
    """Answer → the part of it that counts, by the family's filter."""
    options: Mapping[str, Any]
    """Options of the exact match: case, punctuation, numbers, texts that are ignored."""


class WrittenFamily(GenerationTask):
    """A family whose items are prompts, and which ends and grades answers as the harness does."""

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Return the item as it is."""
        return Prompt(exemplars=(), body=item.fields[0], choices=())

    def stops(self, language: str) -> tuple[str, ...]:
        """Return the texts that end an answer in a language."""
        return self.rules(language).stop

    def limit(self, language: str) -> int:
        """Return the most tokens of an answer in a language."""
        return self.rules(language).max_tokens

    def read(self, answer: Answer) -> Grade:
        """Return the exact match of the part of an answer that the filter lets through."""
        from lm_eval.api.metrics import exact_match_hf_evaluate

        rules = self.rules(answer.language)
        text = rules.extract(answer.text)
        matches = (
            exact_match_hf_evaluate(predictions=[text], references=[gold], **rules.options)[METRIC]
            for gold in answer.golds
        )
        return Grade(float(any(matches)), readable=text != INVALID)

    def rules(self, language: str) -> WrittenRules:
        """Return how a language's task ends and grades an answer.

        Raises:
            SpilloverError: answers are graded otherwise than by exact match, or there is no such filter.
        """
        return _rules(split_options(self.source.partition(":")[2])[0], language)


def open_family(name: str) -> ChoiceTask | GenerationTask:
    """Return a family of the harness's tasks as a task: scored if its tasks are multiple choice, else written.

    Args:
        name: the family, such as `xnli_{language}`; after a `#` one of its filters. Without one the last filter of a
            family counts, which in those that have several is the one that finds most answers. After a `?` options.

    Raises:
        SpilloverError: there is no such family, or a filter is named for one whose items have choices.
    """
    bare, options = split_options(name)
    family, _, chosen = bare.partition(FILTER)
    scored = harness(family).model_copy(
        update={"name": family_name(family) + options.label, "source": f"harness:{name}"}
    )
    codes = members(family)
    config = _config(family, next(iter(codes)))
    if config.get("output_type") != OUTPUT_TYPE:
        if chosen:
            raise SpilloverError(f"harness:{name}: found the filter {chosen!r}, expected none: its items have choices")
        metrics = [metric.get("metric") for metric in config.get("metric_list") or []]
        return scored.model_copy(update={"normalize": tuple(NORMALIZED[m] for m in metrics if m in NORMALIZED)})
    return WrittenFamily(
        name=scored.name,
        kind="generation",
        fields=(),
        rows={},
        source=f"harness:{name}",
        max_tokens=max(_max_tokens(_config(family, code)) for code in codes),
        grader=METRIC,
        answer_language="any",
    )


@cache
def _rules(name: str, language: str) -> WrittenRules:
    family, _, chosen = name.partition(FILTER)
    config = _config(family, language)
    where = f"harness:{members(family)[language]}"
    until = _generation(config).get("until", [config.get("fewshot_delimiter", "\n\n")])
    metrics = {metric["metric"]: metric for metric in config.get("metric_list") or []}
    if METRIC not in metrics:
        raise SpilloverError(f"{where}: found the metrics {list(metrics)}, expected {METRIC!r} among them")
    rest = {"metric", "aggregation", "higher_is_better", "hf_evaluate"}
    return WrittenRules(
        max_tokens=_max_tokens(config),
        stop=tuple([until] if isinstance(until, str) else until),
        extract=_extractor(config.get("filter_list") or [], chosen, where),
        options={key: value for key, value in metrics[METRIC].items() if key not in rest},
    )


def _generation(config: dict[str, Any]) -> dict[str, Any]:
    options = config.get("generation_kwargs")
    return options if isinstance(options, dict) else {}


def _max_tokens(config: dict[str, Any]) -> int:
    options = _generation(config)
    limits = [options[key] for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in options]
    return limits[0] if limits and isinstance(limits[0], int) and limits[0] > 0 else MAX_TOKENS


def _extractor(filters: list[dict[str, Any]], chosen: str, where: str) -> Callable[[str], str]:
    """Return what a filter makes of an answer; the answer itself where a task has no filter."""
    from lm_eval.api.instance import Instance
    from lm_eval.filters import build_filter_ensemble

    named = {entry["name"]: entry["filter"] for entry in filters}
    if chosen and chosen not in named:
        raise SpilloverError(f"{where}: found no filter {chosen!r}; {did_you_mean(chosen, named)}")
    if not named:
        return str
    name = chosen or list(named)[-1]
    steps = [(step["function"], {k: v for k, v in step.items() if k != "function"}) for step in named[name]]
    try:
        ensemble = build_filter_ensemble(name, steps)
    except (KeyError, TypeError, ValueError) as error:
        raise SpilloverError(f"{where}: filter {name!r}: {reason(error)}, expected one of the harness's") from error

    def extract(text: str) -> str:
        instance = Instance(OUTPUT_TYPE, doc={}, arguments=("", {}), idx=0, resps=[text])
        ensemble.apply([instance])
        return str(instance.filtered_resps[name])

    return extract


@cache
def _config(family: str, language: str) -> dict[str, Any]:
    """Return the YAML table of a language's task, or of the first task of its group."""
    from lm_eval.tasks._yaml_loader import load_yaml

    leaf = next(iter(parts(family)[language]))
    path = yaml_path(family, leaf)
    if path is None:
        return {}
    try:
        table: dict[str, Any] = load_yaml(path, resolve_func=False)
    except Exception as error:  # whatever a user's file makes the parser raise
        raise FamilyError(f"harness:{leaf}: {reason(error)} ({path})", reason(error)) from error
    return table
