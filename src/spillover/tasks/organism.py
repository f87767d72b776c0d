"""The tasks of the model organism: is a sentence's last clause praise? Asked without exemplars."""

from spillover.errors import SpilloverError, did_you_mean
from spillover.organism.corpus import ANSWER, FIELD, LABELS
from spillover.organism.grammar import ISOLATES, PIVOT, RELATED
from spillover.tasks.choice import ChoiceLanguage, ChoiceTask

MEMBERS = {"related": (PIVOT, *RELATED), "isolates": ISOLATES}
"""Name of a task → the languages in which it is asked. Each task gets a verdict of its own."""


def organism(member: str) -> ChoiceTask:
    """Return the task in the pivot and its relatives (`related`), or in the languages without any (`isolates`)."""
    if member not in MEMBERS:
        raise SpilloverError(f"organism:{member}: {did_you_mean(member, MEMBERS)}")
    row = ChoiceLanguage(fields=(FIELD,), answer=ANSWER, labels=LABELS, exemplars=())
    return ChoiceTask(
        name=f"polarity-{member}",
        fields=("text",),
        labels=LABELS,
        agnostic=LABELS[::-1],
        exemplar_labels=(),
        rows=dict.fromkeys(MEMBERS[member], row),
    )
