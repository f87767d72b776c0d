"""Tasks whose items come rendered: an item's own texts are its prompt and its choices.

Benchmarks with prompts and exemplars of their own are such tasks. A `harness` source reads the items.
"""

from spillover.errors import SpilloverError
from spillover.records import Item, Prompt
from spillover.tasks.choice import ChoiceTask
from spillover.tasks.task import PLACEHOLDER
from spillover.utils.text import is_file_name


class RenderedTask(ChoiceTask):
    """The first of an item's texts is the prompt's, the others are its choices."""

    def prompt(self, item: Item, labels: str = "english") -> Prompt:
        """Return the item as it is. `labels` changes nothing: the item brings its choices."""
        return Prompt(exemplars=(), body=item.fields[0], choices=item.fields[1:])

    def choice_texts(self, item: Item, labels: str = "english") -> tuple[str, ...]:
        """Return the choices of an item without delimiters."""
        return tuple(text.removeprefix(item.delimiter) for text in item.fields[1:])

    def content_free(self, language: str, labels: str = "english") -> list[Prompt]:
        """Return no prompt: without an item there is no text to empty, and choices differ from item to item."""
        return []


def harness(family: str) -> RenderedTask:
    """Return a family of lm-evaluation-harness's tasks: `xnli_{language}`; `DIR/name_{language}` for a user's YAML."""
    if PLACEHOLDER not in family:
        raise SpilloverError(
            f"harness:{family}: found no {PLACEHOLDER}, expected a task's name with {PLACEHOLDER} where its language "
            f"stands, such as harness:xnli_{PLACEHOLDER}"
        )
    return RenderedTask(
        name=family_name(family),
        fields=(),
        labels=(),
        agnostic=(),
        exemplar_labels=(),
        rows={},
        source=f"harness:{family}",
    )


def family_name(family: str) -> str:
    """Return a family's name as a task: `mgsm_direct` for `mgsm_direct_{language}`."""
    name = "_".join(part for part in family.rpartition("/")[2].replace(PLACEHOLDER, "").split("_") if part)
    if not is_file_name(name):
        raise SpilloverError(f"harness:{family}: found no name beside {PLACEHOLDER}, expected one such as xnli")
    return name
