"""The section `[arms]`: the models that an experiment compares, and the ways in which they are asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment.section import NonNegative, Place, Section

TUNE = "tune"
"""The adapter that this experiment tunes."""


class ArmConfig(Section):
    """One arm. Keys of `[model]` that it leaves out are as in the reference, the first arm.

    The reference takes the keys that it leaves out from `[model]`.
    """

    model: Place = ""
    """Another model: an alias, a hub id, a folder or a GGUF file; empty: the reference's model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    """As in `model`."""
    quantize: Literal["none", "nf4"] | None = None
    """As in `model`."""
    template: Literal["none", "chat"] | None = None
    """As in `model`."""
    template_arguments: dict[str, Any] | None = None
    """As in `model`."""
    system: str | None = None
    """As in `model`."""
    shots_as: Literal["one turn", "turns"] | None = None
    """As in `model`."""
    adapter: Place = ""
    """`tune`: the adapter that this experiment tunes. Otherwise: folder or hub id of another adapter; empty: none."""
    ask: Literal["item", "translate-test", "self-translate"] = "item"
    """`item`: items in their own language. `translate-test`: items that the engine of `[translate]` translates into the
    pivot. `self-translate`: items that the arm's model translates into the pivot."""
    shots: Literal["item", "en"] | NonNegative = "item"
    """Exemplars. `item`: all, in the item's language; `en`: all, in English; a number: the first ones; 0: none."""

    @property
    def tuned(self) -> bool:
        """Whether the arm has the adapter that this experiment tunes."""
        return self.adapter == TUNE

    @property
    def plain(self) -> bool:
        """Whether the arm reads items in their own language, with all exemplars."""
        return (self.ask, self.shots) == ("item", "item")

    @property
    def brings_adapter(self) -> bool:
        """Whether the arm has an adapter that was made elsewhere."""
        return self.adapter not in ("", TUNE)

    def described(self, reference: str) -> str:
        """Return the arm in words; `reference` is the model of the first arm."""
        parts = [self.model or reference]
        if self.adapter:
            parts.append("tuned here" if self.tuned else f"with the adapter {self.adapter}")
        parts += [
            f"{key} {value}" for key, value in self.loading.items() if key != "name" and value is getattr(self, key)
        ]
        if self.ask != "item":
            parts.append(self.ask)
        if self.shots != "item":
            parts.append("English exemplars" if self.shots == "en" else f"at most {self.shots} exemplars")
        return ", ".join(parts)

    @property
    def loading(self) -> dict[str, Any]:
        """The keys of `[model]` that the arm replaces."""
        keys = ("dtype", "quantize", "template", "template_arguments", "system", "shots_as")
        named = {"name": self.model} if self.model else {}
        no_chat = {"template_arguments": {}, "system": "", "shots_as": "one turn"}
        without_chat = no_chat if self.template == "none" else {}
        return named | without_chat | {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


DEFAULT_ARMS = {"base": ArmConfig(), "tuned": ArmConfig(adapter=TUNE)}
"""The arms of an experiment without `[arms]`."""


def check_arms(
    arms: Mapping[str, ArmConfig], primary: tuple[str, str] | None, compare: Sequence[tuple[str, str]]
) -> None:
    """Refuse arms that cannot be compared, and pairs of arms that are not there.

    Raises:
        SpilloverError: there is one arm, the reference has to be tuned, an arm tunes another model, or a pair is not
            of two arms.
    """
    first, *others = arms
    if not others:
        raise SpilloverError(f"arms: found {first!r} alone, expected the reference and at least one other arm")
    if arms[first].tuned:
        raise SpilloverError(
            f"arms.{first}.adapter: found 'tune' in the first arm, which is the reference that others are compared "
            "with, expected an arm that needs no tuning before it"
        )
    for name, arm in arms.items():
        if arm.tuned and arm.model:
            raise SpilloverError(
                f"arms.{name}.model: found {arm.model!r} with adapter = 'tune', expected no model: the first arm's "
                "model is tuned"
            )
    listed = {"primary": [primary] if primary else [], "compare": compare}
    for key, pair in ((key, pair) for key, pairs in listed.items() for pair in pairs):
        unknown = [name for name in pair if name not in arms]
        if unknown:
            raise SpilloverError(f"{key}: found {unknown[0]!r}, expected an arm; {did_you_mean(unknown[0], arms)}")
        if pair[0] == pair[1]:
            raise SpilloverError(f"{key}: found {list(pair)}, expected two different arms")


def pairs_to_compare(
    arms: Mapping[str, ArmConfig], primary: tuple[str, str] | None, compare: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return (reference, arm) of each comparison, the primary one first: every arm with the first, and those named.

    primary, compare: pairs [arm, reference]. Two arms are compared once, in the order that is listed first.
    """
    reference, *others = arms
    first = [primary] if primary else []
    listed = [(below, above) for above, below in (*first, *((name, reference) for name in others), *compare)]
    return [pair for place, pair in enumerate(listed) if not {pair, pair[::-1]}.intersection(listed[:place])]
