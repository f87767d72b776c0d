"""How long comparing languages takes: every metric, raw and partial, base and tuned, with its 200 shuffles.

Random states in the shape of a traced task (20 languages, 19 layers of width 640, 60 items), then with fewer and more
items in fewer layers for the growth. Writes a JSON file and, beside it, its tables as Markdown.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import date

import numpy as np

from saving import add_out, save
from spillover.analysis.interpretability.alignment import States, shuffled
from spillover.analysis.interpretability.geometry import SHUFFLES, Layer, Metric, Sample, geometry, principal_components
from spillover.plugins import METRICS, resolve
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify

ARMS = ("base", "tuned")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", type=int, default=20, help="%(default)s")
    parser.add_argument("--layers", type=int, default=19, help="%(default)s")
    parser.add_argument("--items", type=int, default=60, help="%(default)s")
    parser.add_argument("--width", type=int, default=640, help="%(default)s")
    parser.add_argument(
        "--growth", type=int, nargs="*", default=[30, 60, 120, 240], help="items, one layer (%(default)s)"
    )
    add_out(parser, "geometry")
    return parser.parse_args()


def main() -> None:
    """Time the whole, each metric alone, and the growth with items."""
    asked = parse()
    metrics: dict[str, Metric] = {name: resolve(METRICS, name, "benchmark") for name in METRICS}
    whole = timed(asked.languages, asked.layers, asked.items, asked.width, metrics)
    notify(f"whole: {whole:.1f} s")
    found = {
        "date": date.today().isoformat(),
        "shape": {name: getattr(asked, name) for name in ("languages", "layers", "items", "width")},
        "seconds": round(whole, 2),
        "seconds_of_one_measure": each(asked.languages, asked.items, asked.width, metrics),
        "seconds_by_items": {
            str(items): round(timed(asked.languages, 1, items, asked.width, metrics), 3) for items in asked.growth
        },
        "provenance": dict((*versions(), *machine())),
    }
    save(asked.out, found, markdown(found))


def drawn(languages: int, layers: int, items: int, width: int) -> Iterator[Layer]:
    """Yield random layers with something in common; drawing them is cheap beside measuring them."""
    random = np.random.default_rng(0)
    shape = (len(ARMS), languages, items, width)
    for _ in range(layers):
        states = random.standard_normal(shape, dtype=np.float32) + random.standard_normal((items, width), np.float32)
        yield Layer(states, states)


def sample(languages: int, items: int) -> Sample:
    """Return a sample whose items come in contexts of three, as published entailment items do."""
    lengths = np.random.default_rng(1).integers(20, 200, size=(languages, items)).astype(np.float64)
    contexts = tuple(np.arange(start, start + 3) for start in range(0, items - 2, 3))
    return Sample("random", ARMS, tuple(map(str, range(languages))), lengths, contexts)


def timed(languages: int, layers: int, items: int, width: int, metrics: dict[str, Metric]) -> float:
    """Return the seconds that `geometry` takes."""
    start = time.perf_counter()
    geometry(sample(languages, items), drawn(languages, layers, items, width), metrics)
    return time.perf_counter() - start


def each(languages: int, items: int, width: int, metrics: dict[str, Metric]) -> dict[str, float]:
    """Return the seconds of each part in one arm and layer; the cosines, which several metrics share, by themselves."""
    layer = next(drawn(languages, 1, items, width))
    found = {}
    start = time.perf_counter()
    components = principal_components(layer.body_mean)
    found["components (both arms)"] = time.perf_counter() - start
    contexts = sample(languages, items).contexts
    states = States(layer.body_mean[0].astype(float), layer.last[0].astype(float), components[0, :, :, 0], contexts)
    pairings = shuffled(items, SHUFFLES)
    start = time.perf_counter()
    assert states.body_cosines.size == states.last_cosines.size
    found["cosines (both poolings)"] = time.perf_counter() - start
    for name, metric in metrics.items():
        start = time.perf_counter()
        metric(states, pairings)
        found[name] = time.perf_counter() - start
    return {name: round(seconds, 4) for name, seconds in found.items()}


def markdown(found: dict[str, object]) -> str:
    """Write the findings as two tables."""
    shape, parts, growth = (found[name] for name in ("shape", "seconds_of_one_measure", "seconds_by_items"))
    assert isinstance(shape, dict)
    assert isinstance(parts, dict)
    assert isinstance(growth, dict)
    lines = [
        f"{found['seconds']} s for {shape['languages']} languages, {shape['layers']} layers of width {shape['width']}, "
        f"{shape['items']} items: base and tuned, raw and partial, {SHUFFLES} shuffles.",
        "",
        "| part, one arm and layer | seconds |",
        "| --- | --: |",
        *(f"| {name} | {seconds} |" for name, seconds in parts.items()),
        "",
        "| items, one layer | seconds | of one item² in µs |",
        "| --- | --: | --: |",
        *(f"| {items} | {seconds} | {1e6 * seconds / int(items) ** 2:.0f} |" for items, seconds in growth.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
