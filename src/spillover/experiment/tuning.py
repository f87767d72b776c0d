"""The section `[tune]`, and the phases of a mixture."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spillover.errors import SpilloverError
from spillover.experiment.section import NonNegative, Place, Section

Block = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, ge=0, le=1)]
"""A block of the network: its number from 0, or from −1 backward, or its relative depth in [0, 1]."""


class TuneConfig(Section):
    """The weights that are tuned, and the optimizer. `docs/tuning.md` says which defaults are the paper's."""

    younger: ClassVar[frozenset[str]] = frozenset({"method", "layers", "embeddings", "probe_every"})
    old_defaults: ClassVar[dict[str, Any]] = {"translations": 40}  # what is measured changes no weight

    rank: Annotated[int, Field(ge=1)] = 8
    """Rank of the adapter's update."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale of the update: alpha / rank, or alpha / √rank with `rslora`."""
    targets: Literal["all-linear"] | tuple[str, ...] = ("q_proj", "v_proj")
    """Names of the linear maps that get an update."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """Highest learning rate. It rises in a warm-up and then falls along a cosine."""
    epochs: Annotated[float, Field(gt=0)] = 3
    """Passes over the examples."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Examples per optimizer step, over all processes."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the rate rises from 0."""
    cutoff: Annotated[int, Field(ge=8)] = 2048
    """Most tokens of an example. Longer examples are left out and counted."""
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the examples that is held out. The epoch with the lowest loss on these examples is kept."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    """Dropout of the update's inputs."""
    translations: NonNegative = 200
    """Most held-out pairs that are read before and after tuning, to see whether the model learned anything."""
    report_to: tuple[str, ...] = ()
    """Trackers, such as `tensorboard` or `wandb`."""
    method: Literal["lora", "dora", "rslora", "full"] = "lora"
    """The weights that learn: those of an adapter, or with `full` the model's own."""
    layers: Literal["all", "middle", "ends"] | tuple[Block, ...] = "all"
    """Blocks that learn: whole numbers count from 0, or backward from −1; decimals are relative depths."""
    embeddings: Literal["none", "seen"] = "none"
    """`seen`: the rows of tokens that occur in the examples learn too."""
    probe_every: NonNegative = 0
    """Steps between two small evaluations of the model while it is tuned; 0: none."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        """Refuse keys that the method does not read, and tuning of nothing."""
        names = self.targets != "all-linear" and self.targets != type(self).model_fields["targets"].default
        if self.method == "full" and names:
            raise SpilloverError(
                f"tune.targets: found {list(self.targets)} with method = 'full', which tunes all weights of the chosen "
                "layers, expected 'all-linear' or no such key; choose layers, or another method"
            )
        if not self.targets and self.embeddings == "none":
            raise SpilloverError(
                "tune.targets: found [] with embeddings = 'none', so nothing is tuned, expected names of linear maps, "
                "'all-linear', or embeddings = 'seen'"
            )
        if not self.layers:
            raise SpilloverError("tune.layers: found [], expected 'all', 'middle', 'ends', or at least one block")
        return self


Layers = Literal["all", "middle", "ends"] | tuple[Block, ...]


CONTRASTIVE = "contrastive"
"""The recipe whose pairs are compared inside the model."""


class PartConfig(Section):
    """One part of a phase: a recipe and its share of the examples."""

    recipe: str = "question-translation"
    """Which texts are paired."""
    weight: Annotated[float, Field(gt=0)] = 1
    """Share of the phase's examples, relative to the other parts' weights."""
    control: Literal["none", "shuffled-pairs", "copy"] = "none"
    """The control that replaces the pairs of the recipe."""
    source: Place = ""
    """The folder with the texts of `replay`: `folder:DIR`."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the content words with a translation that `code-switch` replaces."""
    depth: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Relative depth at which `contrastive` compares the texts of a pair."""


class PhaseConfig(Section):
    """Parts that are learned together, and the keys of `tune` that differ in this phase."""

    parts: Annotated[tuple[PartConfig, ...], Field(min_length=1)]
    """The parts. A phase with `contrastive` has no other part, since this recipe has an objective of its own."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the examples of this phase; unset: as in `tune`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak rate of this phase; unset: as in `tune`."""
    layers: Layers | None = None
    """The blocks of `tune.layers` that learn in this phase."""

    @model_validator(mode="after")
    def _one_objective(self) -> Self:
        recipes = [part.recipe for part in self.parts]
        if CONTRASTIVE in recipes and len(recipes) > 1:
            raise SpilloverError(
                f"mixture.phases: found {CONTRASTIVE!r} beside other parts in {recipes}, expected a phase of its own"
            )
        return self

    @property
    def depth(self) -> float | None:
        """The relative depth at which the texts of pairs are compared; None where targets are learned."""
        return self.parts[0].depth if self.parts[0].recipe == CONTRASTIVE else None
