"""How fast answers are written: ours, transformers' `generate` and lm-evaluation-harness in turn, on the same prompts.

Two tasks of the starter corpus, in English: `arithmetic` (8 worked exemplars), `reading` (2 exemplars with passages).
All write in float32, with the task's own limit and stops. Stops if two answers differ. Writes a JSON file and, beside
it, its table as Markdown.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from rivals import now
from saving import add_out, save
from scoring import facts, table
from spillover.languages import ENGLISH
from spillover.models.inference.answer_text import AnswerText, find_stop
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.rows import rows_layout
from spillover.models.inference.token_choice import end_tokens
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.generate import generate
from spillover.records import Prompt
from spillover.sources import open_source
from spillover.tasks import open_written_task
from spillover.utils.progress import notify
from workload import sample


@dataclass(frozen=True, slots=True)
class Row:
    """One shape."""

    shape: str
    items: int
    """Items of ours."""
    rival_items: int
    """Those that the rivals wrote."""
    tokens: float
    """Tokens written per item, mean."""
    items_per_second: float
    rivals: dict[str, dict[int, float]]
    """Rival → its items a second at each batch size."""
    limit: float
    """Items a second if the matrix products that no method saves ran at the best rate, and all else was free."""
    wanted: float

    @property
    def ratios(self) -> dict[str, float]:
        """Rival → how many times faster than its best batch size."""
        return {name: self.items_per_second / max(rates.values()) for name, rates in self.rivals.items()}


SHAPES = {"arithmetic": 3.0, "reading": 4.0}
"""Name of a task → how many times faster than a rival we mean to be."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60, help="items of a task, at most (%(default)s)")
    parser.add_argument("--rival-items", type=int, default=16, help="items that rivals write (%(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16], help="rivals' batch sizes (%(default)s)")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--max-tokens", type=int, help="a smaller limit, for a trial")
    parser.add_argument("--model", default="gemma-3-270m", help="%(default)s")
    parser.add_argument(
        "--processor-time", action="store_true", help="on a busy machine: seconds of the processor, not of the clock"
    )
    add_out(parser, "generation")
    return parser.parse_args()


def main() -> None:
    """Run every shape."""
    options = parse()
    model = load(options.model, "float32")
    clock = time.process_time if options.processor_time else now
    product = 2 * 2048**3 / min(timed(clock, product_of_2048())[1] for _ in range(5))
    rows = [compete(model, name, options, clock, product) for name in options.shapes]
    results: dict[str, object] = {"rows": [asdict(row) | {"ratios": row.ratios} for row in rows]}
    results |= {"best_product_gflops": product / 1e9, "clock": clock.__name__}
    results["machine"] = facts(argparse.Namespace(**vars(options), dtype="float32"))
    titles = [
        "shape",
        "items a second",
        "than transformers, best batch",
        "than the harness, best batch",
        "wanted",
        "limit",
    ]
    save(options.out, results, table(titles, [_cells(row) for row in rows]))


def _cells(row: Row) -> list[str]:
    ratios = [f"{ratio:.1f}×" for ratio in row.ratios.values()]
    return [row.shape, f"{row.items_per_second:.2f}", *ratios, f"{row.wanted}×", f"{row.limit:.2f}"]


def product_of_2048() -> Callable[[], torch.Tensor]:
    """Return a plain matrix product."""
    left, right = torch.randn(2, 2048, 2048)
    return lambda: left @ right


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of some work and the seconds that it took."""
    begun = clock()
    result = work()
    return result, clock() - begun


def compete(model: Model, name: str, options: argparse.Namespace, clock: Callable[[], float], product: float) -> Row:
    """Time one shape: half of ours, then the rivals on a sample of the same lengths, then the other half of ours."""
    task = open_written_task(name)
    limit, stop = min(task.max_tokens, options.max_tokens or task.max_tokens), task.stops(ENGLISH)
    items = open_source("starter", {}, "benchmark").items(task, ENGLISH)[: options.items]
    reader, prompts = PrefixReader(model), [task.prompt(item) for item in items]
    rows_layout(reader)
    chosen = sample(prompts, options.rival_items)
    sampled = [prompts[index] for index in chosen]
    for write in RIVALS.values():
        write(model, sampled[:1], 2, stop, 1)
    answers, seconds = timed(clock, lambda: generate(reader, prompts, limit, stop))
    rates: dict[str, dict[int, float]] = {rival: {} for rival in RIVALS}
    for batch in options.batches:
        for rival, write in RIVALS.items():
            texts, rival_seconds = timed(clock, lambda: write(model, sampled, limit, stop, batch))  # noqa: B023 - called at once
            rates[rival][batch] = len(sampled) / rival_seconds
            agree(name, rival, [answers[index].text for index in chosen], texts)
            notify(f"{name}, {rival} at {batch}: {rates[rival][batch]:.3f} items a second")
    again, more = timed(clock, lambda: generate(reader, prompts, limit, stop))
    agree(name, "ours", [answer.text for answer in answers], [answer.text for answer in again])
    tokens = [answer.tokens for answer in answers]
    rate = 2 * len(prompts) / (seconds + more)
    limit_rate = len(prompts) * product / operations(model, prompts, tokens)
    notify(f"{name}, ours: {rate:.3f} items a second of {limit_rate:.3f} at the most, {sum(tokens)} tokens")
    return Row(name, len(prompts), len(sampled), sum(tokens) / len(tokens), rate, rates, limit_rate, SHAPES[name])


def operations(model: Model, prompts: Sequence[Prompt], tokens: Sequence[int]) -> float:
    """Return the multiplications and additions that no method saves: weights and attention, for each token once.

    What all prompts share is read once, the rest of each prompt and each token written once; each token written is
    unembedded once.
    """
    ids = model.tokenize([prompt.header + prompt.body for prompt in prompts])
    trie = {tuple(sequence[:end]) for sequence in ids for end in range(1, len(sequence) + 1)}
    linear = sum(m.weight.numel() for m in model.backbone.modules() if isinstance(m, torch.nn.Linear))
    read = len(trie) + sum(tokens) - len(tokens)
    return 2.0 * (linear * read + float(model.unembedding.weight.numel()) * sum(tokens))


def by_transformers(model: Model, prompts: Sequence[Prompt], limit: int, stop: Sequence[str], batch: int) -> list[str]:
    """Write with `generate`, padded on the left, the longest prompts first; it ends at a stop string by itself."""
    encoded = model.tokenize([prompt.header + prompt.body for prompt in prompts])
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]))
    texts = [""] * len(encoded)
    ends = end_tokens(model)
    for start in range(0, len(order), batch):
        rows = [encoded[index] for index in order[start : start + batch]]
        padded = model.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        options = {
            "max_new_tokens": limit,
            "do_sample": False,
            "stop_strings": list(stop),
            "tokenizer": model.tokenizer,
        }
        written = model.network.generate(**padded.to(model.device), **options, use_cache=True)
        for index, row in zip(order[start:], written[:, padded["input_ids"].shape[1] :].tolist(), strict=False):
            until = next((place for place, token in enumerate(row) if token in ends), len(row))
            text = AnswerText(model.tokenizer, encoded[index])(row[:until])
            texts[index] = text[: find_stop(text, stop)]
    return texts


def by_harness(model: Model, prompts: Sequence[Prompt], limit: int, stop: Sequence[str], batch: int) -> list[str]:
    """Write with the harness's own `hf`."""
    lm = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=batch)
    arguments = {"until": list(stop), "max_gen_toks": limit, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (prompt.header + prompt.body, dict(arguments)), number)
        for number, prompt in enumerate(prompts)
    ]
    texts: list[str] = lm.generate_until(requests, disable_tqdm=True)
    return texts


RIVALS = {"transformers": by_transformers, "harness": by_harness}


def agree(shape: str, rival: str, ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Stop if two answers differ."""
    for one, other in zip(ours, theirs, strict=True):
        if one != other:
            raise SystemExit(f"{shape}, {rival}: found {one!r} and {other!r}, expected equal answers")


if __name__ == "__main__":
    main()
