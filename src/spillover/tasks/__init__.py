"""The tasks: what is asked, in which words, in every language."""

from spillover.tasks.files import TASKS, load_task, open_task
from spillover.tasks.published import published_names
from spillover.tasks.task import LABEL_KINDS, PLACEHOLDER, Task, TaskLanguage

__all__ = [
    "LABEL_KINDS",
    "PLACEHOLDER",
    "TASKS",
    "Task",
    "TaskLanguage",
    "load_task",
    "open_task",
    "published_names",
]
