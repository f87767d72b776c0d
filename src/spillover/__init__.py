"""Teach a language model a few languages and watch the rest follow.

The public API, imported when first used, so that `import spillover` costs nothing.
"""

from importlib import import_module

_WHERE = {
    "Experiment": "spillover.experiment",
    "load_experiment": "spillover.experiment",
    "Run": "spillover.pipeline",
    "Store": "spillover.store",
    "Item": "spillover.records",
    "Prompt": "spillover.records",
    "Prediction": "spillover.records",
    "SpilloverError": "spillover.errors",
    "load": "spillover.models.load",
    "PrefixReader": "spillover.models.inference.prefix",
    "score": "spillover.models.scoring.score",
    "open_task": "spillover.tasks",
    "compare": "spillover.analysis.statistics.gains",
    "compare_files": "spillover.runs.samples.compare",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'spillover' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
