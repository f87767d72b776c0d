"""Arms: the ones that an experiment compares, the keys of their results, and their cells."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.languages import ENGLISH
from spillover.models.identity import identify
from spillover.models.shape import is_here
from spillover.records import Cell, Item, Prompt
from spillover.stages.items import Items
from spillover.store import Artifact
from spillover.tasks import Task
from spillover.translate import Translator, open_translator

if TYPE_CHECKING:  # torch costs seconds, and a finished run never needs it
    from spillover.models.inference.prefix import PrefixReader
    from spillover.models.model import Model
    from spillover.models.tracing.readout import Readout


@dataclass(frozen=True)
class Adapter:
    """What an arm adds to its base model."""

    path: Path
    """Its folder."""
    key: str
    """A digest of its content, or of all that it was made from."""
    origin: str = ""
    """The key of the experiment that names it, if it was made elsewhere; else empty."""


@dataclass(frozen=True)
class Arm:
    """One of the models compared: its name, how it is loaded, and how it asks."""

    name: str
    """Its name, which its folders in the run folder have too."""
    experiment: Experiment
    """Names the model, the way to load it, and the labels to ask for. The model is this arm's."""
    adapter: Adapter | None
    """The adapter; None: the model without one."""
    ask: str = "item"
    """The way in which it reads items, a name of `stages.ask.WAYS`."""
    shots: str | int = "item"
    """Its exemplars: in the item's language (`item`) or in English (`en`), or the number of the first ones."""
    translator: Callable[[], Translator] | None = None
    """Opens the translator of its items, for an arm that asks items in translation."""

    @cached_property
    def key(self) -> list[str]:
        """The inputs of all the arm's results: the weights, the precision, the template, the adapter."""
        merged = ["merged"] if self.adapter and self.experiment.evaluate.merged else []
        turns = ["exemplars as turns"] if self.experiment.model.shots_as == "turns" else []  # tuning has no exemplars
        return [*model_key(self.experiment), self.adapter.key if self.adapter else "", *merged, *turns]

    @property
    def plain(self) -> bool:
        """Whether the arm reads items as they are. Measurements inside other arms would only repeat this arm's."""
        return (self.ask, self.shots) == ("item", "item")

    @property
    def reader(self) -> "PrefixReader":
        """The model, loaded on first use; invalid once another arm's reader is requested."""
        from spillover.models.inference.resident import resident_reader

        adapter, origin = (self.adapter.path, self.adapter.origin) if self.adapter else (None, "")
        return resident_reader(self.experiment.model, adapter, self.experiment.evaluate.merged, origin)

    @cached_property
    def readout(self) -> "Readout":
        """Its final norm and unembedding."""
        from spillover.models.tracing.readout import Readout

        return Readout(self.reader.model)

    def prompts(self, task: Task, rows: Sequence[Item]) -> list[Prompt]:
        """Return what the arm reads for each item of a cell."""
        chosen = self.experiment.evaluate.labels
        return [self._with_shots(task, item.language, task.prompt(item, chosen)) for item in rows]

    def content_free(self, task: Task, language: str) -> list[Prompt]:
        """Return the task's content-free prompts, with the arm's exemplars."""
        prompts = task.content_free(language, self.experiment.evaluate.labels)
        return [self._with_shots(task, language, prompt) for prompt in prompts]

    def _with_shots(self, task: Task, language: str, prompt: Prompt) -> Prompt:
        """Return a prompt with the arm's exemplars.

        Raises:
            SpilloverError: the task has fewer of them, or none in English.
        """
        if self.shots == "item":
            return prompt
        if self.shots == "en":
            english = self._in_english(task, language, prompt)
            return replace(prompt, exemplars=english.exemplars, answers=english.answers)
        count = int(self.shots)
        if count > len(prompt.exemplars):
            raise SpilloverError(
                f"arms.{self.name}.shots: found {count}, expected 0 to {len(prompt.exemplars)}, the exemplars of task "
                f"{task.name!r}"
            )
        return replace(prompt, exemplars=prompt.exemplars[:count], answers=prompt.answers[:count])

    def _in_english(self, task: Task, language: str, prompt: Prompt) -> Prompt:
        if not task.rows:
            raise SpilloverError(
                f"arms.{self.name}.shots: found 'en' with task {task.name!r}, whose items come rendered, expected a "
                "task with exemplars of its own"
            )
        item = Item(task.name, "", ENGLISH, ("",) * len(task.fields), 0)
        return prompt if language == ENGLISH else task.prompt(item, self.experiment.evaluate.labels)


def pairs_of_plain_arms(arms: Iterable[Arm], pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of arms that may differ where no item is asked."""
    plain = {arm.name for arm in arms if arm.plain}
    return [pair for pair in pairs if plain.issuperset(pair)]


def open_arm(
    experiment: Experiment,
    name: str,
    tuned: Callable[[], Artifact | None],
    translator: Callable[[], Translator] | None = None,
) -> Arm:
    """Return an arm by its name.

    tuned: returns the adapter that this experiment tunes; called only if the arm has that adapter. translator: opens
    the translator of items; by default the one of `[translate]`.
    """
    from spillover.models.adapter_files import locate_adapter
    from spillover.models.locate import fingerprint

    chosen = experiment.all_arms[name]
    model = experiment.model_of(name)
    adapter = None
    if chosen.tuned:
        made = tuned()
        adapter = Adapter(made.path, made.key) if made else None
    elif chosen.adapter:
        origin = f"arms.{name}.adapter"
        folder = locate_adapter(chosen.adapter, model.name, origin)
        adapter = Adapter(folder, fingerprint(folder), origin)
    configured = experiment.model_copy(update={"model": model})
    return Arm(
        name, configured, adapter, chosen.ask, chosen.shots, translator or partial(_items_translator, experiment)
    )


def are_here(experiment: Experiment) -> bool:
    """Return whether the models of all arms, and the adapters made elsewhere, are on this machine."""
    names = [name for arm in experiment.all_arms.values() for name in (arm.model, "" if arm.tuned else arm.adapter)]
    return all(is_here(name) for name in {experiment.model.name, *names} if name)


def reference_arm(experiment: Experiment) -> Arm:
    """Return the arm that the others are compared with. It needs no tuning."""
    return open_arm(experiment, next(iter(experiment.all_arms)), lambda: None)


def _items_translator(experiment: Experiment) -> Translator:
    chosen = experiment.translate
    return open_translator(lambda language: (), chosen.translator, chosen.model, chosen.endpoint, chosen.budget)


def model_key(experiment: Experiment) -> list[str]:
    """Return the identity of the base model as loaded: files, precision, quantization, template and its prompts."""
    model, identity = experiment.model, identify(experiment.model)
    return [identity.fingerprint, identity.dtype, model.quantize, model.template, *identity.prompt_key]


def auto_dtype(experiment: Experiment) -> str:
    """Return the dtype that `auto` stands for in this experiment; empty if no arm's model has it."""
    models = (experiment.model_of(name) for name in experiment.all_arms)
    return next((identify(model).dtype for model in models if model.dtype == "auto"), "")


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
    return identify(experiment.model).spelled(texts)


def of_prompts(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield all texts of prompts."""
    for prompt in prompts:
        yield from (*prompt.exemplars, prompt.body, *prompt.choices)
