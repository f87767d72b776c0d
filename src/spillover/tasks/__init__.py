"""The tasks: the questions, their words in every language, and how the answers are graded."""

from spillover.tasks.choice import LABEL_KINDS, ChoiceLanguage, ChoiceTask
from spillover.tasks.files import TASKS, Task, has_labels, load_task, open_labeled_task, open_task, open_written_task
from spillover.tasks.generation import GenerationLanguage, GenerationTask
from spillover.tasks.published import published_names
from spillover.tasks.task import PLACEHOLDER, TaskLanguage

__all__ = [
    "LABEL_KINDS",
    "PLACEHOLDER",
    "TASKS",
    "ChoiceLanguage",
    "ChoiceTask",
    "GenerationLanguage",
    "GenerationTask",
    "Task",
    "TaskLanguage",
    "has_labels",
    "load_task",
    "open_labeled_task",
    "open_task",
    "open_written_task",
    "published_names",
]
