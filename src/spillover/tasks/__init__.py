"""The tasks: what is asked, in which words, in every language."""

from spillover.tasks.published import published_names
from spillover.tasks.task import (
    LABEL_KINDS,
    PLACEHOLDER,
    Task,
    TaskLanguage,
    entailment,
    load_task,
    open_task,
    paraphrase,
    sentiment,
)

__all__ = [
    "LABEL_KINDS",
    "PLACEHOLDER",
    "Task",
    "TaskLanguage",
    "entailment",
    "load_task",
    "open_task",
    "paraphrase",
    "published_names",
    "sentiment",
]
