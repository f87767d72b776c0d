"""Which examples a step learns: drawn without weights, or from weighted parts, by the seed and the epoch alone."""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Steps:
    """The examples of each step, in an order that depends on the seed and the epoch alone.

    Every process draws the same steps and takes its share of each. No example is repeated to make the shares equal.
    """

    def __init__(self, examples: int, batch: int, seed: int) -> None:
        """Begin with the first epoch."""
        self._examples, self._batch, self._seed, self._epoch = examples, batch, seed, 0

    def __len__(self) -> int:
        """Return the number of steps of an epoch."""
        return -(-self._examples // self._batch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the places of each step's examples."""
        order = self._order(self._epoch)
        yield from (order[start : start + self._batch] for start in range(0, len(order), self._batch))

    def drawn(self, steps: int) -> list[int]:
        """Return the places of all examples that the first steps of the phase draw, in their order."""
        places: list[int] = []
        for step in range(0, steps, len(self)):
            places += self._order(step // len(self))[: (steps - step) * self._batch]
        return places

    def _order(self, epoch: int) -> list[int]:
        """Return the places of an epoch's examples in their order."""
        order = list(range(self._examples))
        random.Random(f"{self._seed} {epoch}").shuffle(order)
        return order


class WeightedSteps(Steps):
    """Steps whose examples come from parts in exact shares.

    After any number of draws each part has its share of them, up to one example. A part is drawn without repetition
    until all of it was, then again in another order. An epoch draws as many examples as all parts have.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], batch: int, seed: int) -> None:
        """Begin with the first epoch.

        Args:
            sizes: number of each part's examples, at least 1; the parts follow each other.
            weights: each part's share of the draws, relative to the others'.
            batch: examples of a step.
            seed: of the order within each part.
        """
        super().__init__(sum(sizes), batch, seed)
        self._sizes, self._shares = sizes, [weight / sum(weights) for weight in weights]
        self._starts = [0, *accumulate(sizes)][:-1]

    def _order(self, epoch: int) -> list[int]:
        counts = [0] * len(self._sizes)
        order: list[int] = []
        passes: dict[tuple[int, int], list[int]] = {}
        for draw in range((epoch + 1) * self._examples):
            part = max(range(len(counts)), key=lambda part: (self._shares[part] * (draw + 1) - counts[part], -part))
            if draw >= epoch * self._examples:
                number, place = divmod(counts[part], self._sizes[part])
                if (part, number) not in passes:
                    passes[part, number] = self._pass(part, number)
                order.append(self._starts[part] + passes[part, number][place])
            counts[part] += 1
        return order

    def _pass(self, part: int, number: int) -> list[int]:
        """Return the order in which a part's examples are drawn for the time `number`, counted from 0."""
        order = list(range(self._sizes[part]))
        random.Random(f"{self._seed} part {part} {number}").shuffle(order)
        return order
