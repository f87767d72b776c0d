"""Arms: the ones that an experiment compares, the keys of their results, and their cells."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from spillover.experiment import Experiment
from spillover.records import Cell, Item, Prompt
from spillover.stages.items import Items
from spillover.store import Artifact
from spillover.tasks import Task

if TYPE_CHECKING:  # torch costs seconds, and a finished run never needs it
    from spillover.models.inference.prefix import PrefixReader
    from spillover.models.load import Model
    from spillover.models.tracing.readout import Readout


BASE, TUNED = "base", "tuned"
"""Names of the arms: the model as it stands, and with the adapter that the experiment tunes."""


@dataclass(frozen=True)
class Arm:
    """One of the models compared: its name, how it is loaded, and how it asks."""

    name: str
    """Its name, which its folders in the run folder have too."""
    experiment: Experiment
    """Names the model, the way to load it, and the way to ask it."""
    adapter: Artifact | None
    """The adapter; None: the model without one."""

    @cached_property
    def key(self) -> list[str]:
        """The inputs of all the arm's results: the weights, the precision, the template, the adapter."""
        merged = ["merged"] if self.adapter and self.experiment.evaluate.merged else []
        turns = ["exemplars as turns"] if self.experiment.model.shots_as == "turns" else []  # tuning has no exemplars
        return [*model_key(self.experiment), self.adapter.key if self.adapter else "", *merged, *turns]

    @property
    def reader(self) -> "PrefixReader":
        """The model, loaded on first use; invalid once another arm's reader is requested."""
        from spillover.models.inference.resident import resident_reader

        adapter = self.adapter.path if self.adapter else None
        return resident_reader(self.experiment.model, adapter, self.experiment.evaluate.merged)

    @cached_property
    def readout(self) -> "Readout":
        """Its final norm and unembedding."""
        from spillover.models.tracing.readout import Readout

        return Readout(self.reader.model)

    def prompts(self, task: Task, rows: Sequence[Item]) -> list[Prompt]:
        """Return what the arm reads for each item of a cell."""
        return [task.prompt(item, self.experiment.evaluate.labels) for item in rows]


def arm_names(experiment: Experiment) -> tuple[str, ...]:
    """Return the names of an experiment's arms, the reference first."""
    return (BASE, TUNED)


def compared_arms(experiment: Experiment) -> list[tuple[str, str]]:
    """Return the names of the arms of each comparison, reference and arm; the primary comparison first."""
    reference, *others = arm_names(experiment)
    return [(reference, name) for name in others]


def reference_arm(experiment: Experiment) -> Arm:
    """Return the arm that the others are compared with. It needs no tuning."""
    return Arm(BASE, experiment, None)


def model_key(experiment: Experiment) -> list[str]:
    """Return the identity of the base model as loaded: files, precision, quantization, template and its prompts."""
    from spillover.models.load import resolve_dtype
    from spillover.models.locate import fingerprint, locate

    model = experiment.model
    identity = [fingerprint(locate(model.name)), resolve_dtype(model.dtype), model.quantize, model.template]
    return [*identity, *reads(experiment).prompt_key]


def num_parameters(experiment: Experiment) -> int:
    """Return the base model's number of parameters."""
    from spillover.models.locate import locate, parameters

    return parameters(locate(experiment.model.name))


def cells_of(arm: Arm, items: Items) -> Iterator[tuple[Cell, list[Item]]]:
    """Yield an arm's cells with their items."""
    for (task, language), rows in items.items():
        yield Cell(arm.name, task, language), rows


def reads(experiment: Experiment) -> "Model":
    """Return the model without its weights: the part that turns texts into tokens."""
    from spillover.models.load import without_weights

    return without_weights(experiment.model.name, experiment.model.template, experiment.model.chat_style)


def shortened(experiment: Experiment) -> list[int]:
    """Return the model's context in tokens if it is shorter than `tune.cutoff`: longer examples are not learned."""
    from spillover.models.locate import locate, positions

    context = positions(locate(experiment.model.name))
    return [context] if 0 < context < experiment.tune.cutoff else []


def as_text(experiment: Experiment, texts: Iterable[str]) -> list[str]:
    """Return the special tokens that texts spell, for a stage's key; earlier versions read them as those tokens.

    Other texts add nothing to a key, so their artifacts stay valid.
    """
    return reads(experiment).tokenization.spelled(texts)


def of_prompts(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield all texts of prompts."""
    for prompt in prompts:
        yield from (*prompt.exemplars, prompt.body, *prompt.choices)
