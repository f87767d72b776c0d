"""The parts of `gpu.py`. Each takes a shape and returns numbers, and is meant to run in a process of its own."""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from by_sglang import SglangEngine
from shapes import Shape, config, device, random_model, tokenizer
from spillover.experiment import TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.compiled import score as score_compiled
from spillover.models.scoring.generate import generate
from spillover.models.scoring.score import score
from spillover.models.scoring.vllm import Engine
from spillover.models.scoring.vllm import score as score_by_engine
from spillover.models.tracing.trace import trace
from spillover.models.tuning.loss import IGNORED, encode
from spillover.records import Example, Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

Numbers = dict[str, float]

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Name of a card → multiplications and additions per second in bfloat16, dense, by its data sheet."""

WRITTEN = 32
"""Prompts that are answered in words."""


def exactness(shape: Shape) -> Numbers:
    """Return how far the device's scores are from the CPU's in float32, in nats."""
    prompts, cpu = _prompts(shape), torch.device("cpu")
    exact = score(PrefixReader(random_model(shape, torch.float32, cpu)), prompts).choices
    results = {}
    for name in ("float32", "bfloat16"):
        model = random_model(shape, torch.float32, cpu)
        network = model.network.to(device(), getattr(torch, name))
        scores = score(PrefixReader(Model(network, model.tokenizer, chat=False)), prompts).choices
        pairs = ((a, b) for one, other in zip(exact, scores, strict=True) for a, b in zip(one, other, strict=True))
        results[f"largest difference in {name}"] = max(abs(a - b) for a, b in pairs)
    return results


def scoring(shape: Shape) -> Numbers:
    """Score the same items by ours and by lm-evaluation-harness."""
    from contest import Contest, open_rivals
    from rivals import best_product
    from scoring import run
    from workload import cells

    model = random_model(shape)
    product = best_product(model.network.dtype, model.device)
    contest = Contest(model, open_rivals(["harness"], model, Path()), shape.rival_items, product)
    results = run(contest, cells(("entailment",), ("en",), shape.items))
    rates = {row["rival"]: row["items_per_second"] for row in results["rows"] if row["items_per_second"]}
    (measure,) = results["measures"]
    return {
        "items per second": rates.pop("ours"),
        "harness, best batch": max(rates.values()),
        "share of best product": measure["share_of_best_product"],
        "best product, TFLOP/s": product / 1e12,
        "MFU": measure["share_of_best_product"] * product / peak_rate(product),
    } | _memory()


def compiled(shape: Shape) -> Numbers:
    """Score the same items with compiled layers; the compiler's time is a number of its own."""
    reader, prompts = PrefixReader(random_model(shape)), _prompts(shape)
    first = timed(lambda: score_compiled(reader, prompts))
    again = timed(lambda: score_compiled(reader, prompts))
    return {"items per second": len(prompts) / again, "compilation, s": first - again} | _memory()


def vllm(shape: Shape) -> Numbers:
    """Score the same items by vLLM, whose weights are random too: one request per token of a label."""
    _require("vllm")
    from vllm import LLM

    with _unweighted(shape) as (folder, model):
        caching = {"enable_prefix_caching": True, "logprobs_mode": "raw_logprobs"}
        llm = LLM(model=folder, load_format="dummy", dtype="bfloat16", gpu_memory_utilization=0.85, **caching)
        return _by_engine(Engine(model, llm, None), shape)


def sglang(shape: Shape) -> Numbers:
    """Score the same items by SGLang, whose weights are random too: one request per context of a label's token."""
    _require("sglang")
    from sglang import Engine as Sglang

    with _unweighted(shape) as (folder, model):
        llm = Sglang(model_path=folder, load_format="dummy", dtype="bfloat16")
        try:
            return _by_engine(SglangEngine(model, llm, None), shape)
        finally:
            llm.shutdown()


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise SystemExit(f"{package} is not installed")


@contextmanager
def _unweighted(shape: Shape) -> Iterator[tuple[str, Model]]:
    """Give a folder from which an engine makes random weights, and the model of it that tokenizes."""
    with tempfile.TemporaryDirectory() as folder:
        config(shape).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        yield folder, Model(SimpleNamespace(config=config(shape)), tokenizer(), chat=False)


def _by_engine(engine: Engine, shape: Shape) -> Numbers:
    prompts = _prompts(shape)
    score_by_engine(engine, prompts[:2])
    return {"items per second": len(prompts) / timed(lambda: score_by_engine(engine, prompts))}


def tuning(contender: str, shape: Shape) -> Numbers:
    """Learn LoRA on query and value for an epoch; a first epoch warms up."""
    from rivals import best_product
    from trainers import CONTENDERS
    from tuning import options

    model, settings = random_model(shape), TuneConfig(batch=16)
    rows = [encode(model, example) for example in _examples(shape)]
    read, targets = sum(len(row.tokens) for row in rows), sum(label != IGNORED for row in rows for label in row.labels)
    linear = sum(part.weight.numel() for part in model.backbone.modules() if isinstance(part, torch.nn.Linear))
    # two operations per weight and token forward, two backward: frozen weights need no gradient
    operations = 4.0 * (linear * read + model.unembedding.weight.numel() * targets)
    product = best_product(model.network.dtype, model.device)
    with tempfile.TemporaryDirectory() as place:
        arguments = options(Namespace(batch=16), place, model.device.type)
        with CONTENDERS[contender](model, settings, rows, arguments) as trainer:
            trainer.train()
            seconds = timed(trainer.train)
    rates = {"tokens per second": read / seconds, "target tokens per second": targets / seconds}
    shares = {"share of best product": operations / seconds / product, "MFU": operations / seconds / peak_rate(product)}
    return rates | shares | _memory()


def generation(shape: Shape) -> Numbers:
    """Write answers of a fixed length by ours and by transformers."""
    from generation import by_transformers

    model = random_model(shape)
    model.network.generation_config.eos_token_id = None  # every answer has all its tokens
    prompts = [Prompt(p.exemplars, p.body, ()) for p in _prompts(shape)[:WRITTEN]]
    reader = PrefixReader(model)
    work: dict[str, Callable[[], object]] = {
        "tokens per second": lambda: generate(reader, prompts, shape.tokens),
        "transformers": lambda: by_transformers(model, prompts, shape.tokens, ("\n\n\n\n",), WRITTEN),
    }
    generate(reader, prompts[:2], 2)
    return {name: len(prompts) * shape.tokens / timed(run) for name, run in work.items()} | _memory()


def tracing(shape: Shape) -> Numbers:
    """Record the hidden states of all layers."""
    reader, prompts = PrefixReader(random_model(shape)), _prompts(shape)
    trace(reader, prompts[:2])
    return {"items per second": len(prompts) / timed(lambda: trace(reader, prompts))} | _memory()


def nf4(shape: Shape) -> Numbers:
    """Score with weights of four bits."""
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(shape)
        model.network.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        del model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        reader, prompts = PrefixReader(load(str(Path(folder)), "auto", quantize="nf4")), _prompts(shape)
        score(reader, prompts[:2])
        return {"items per second": len(prompts) / timed(lambda: score(reader, prompts))} | _memory()


PARTS: dict[str, Callable[[Shape], Numbers]] = {
    "exactness": exactness,
    "scoring": scoring,
    "scoring by compiled layers": compiled,
    "scoring by vLLM": vllm,
    "scoring by SGLang": sglang,
    "tuning": partial(tuning, "ours"),
    "tuning by TRL": partial(tuning, "TRL"),
    "generation": generation,
    "tracing": tracing,
    "nf4": nf4,
}
"""Name → what is measured."""


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of some work, with all that it left for the device to do."""
    from rivals import now

    begun = now()
    work()
    return now() - begun


def peak_rate(product: float) -> float:
    """Return the card's operations per second by its data sheet; the best measured product's if it is unknown."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((rate for card, rate in PEAKS.items() if card in name), product)


def _memory() -> Numbers:
    """Return the most memory that the device had in use, in GB; nothing on a CPU."""
    return {"peak, GB": torch.cuda.max_memory_allocated() / 1e9} if torch.cuda.is_available() else {}


def _prompts(shape: Shape) -> list[Prompt]:
    from workload import cells

    (cell,) = cells(("entailment",), ("en",), shape.items)
    return cell.prompts


def _examples(shape: Shape) -> Sequence[Example]:
    """Return pairs of texts, repeated as often as needed."""
    task, source = open_task("entailment"), open_source("starter", {}, "benchmark")
    pairs: list[Any] = list(zip(source.items(task, "zh"), source.items(task, "en"), strict=True))
    return [
        Example(str(number), "zh", f"{zh.fields[0]}\n", f"{en.fields[0]}\n")
        for number, (zh, en) in ((number, pairs[number % len(pairs)]) for number in range(shape.examples))
    ]
