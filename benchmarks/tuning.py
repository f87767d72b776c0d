"""How fast tuning is, and how much memory it needs: ours, TRL's SFTTrainer and the plain Trainer on the same steps.

    python benchmarks/tuning.py --data DIR                                    # LoRA on query and value, all contenders
    python benchmarks/tuning.py --data DIR --methods dora full --contenders ours TRL
    python benchmarks/tuning.py --data DIR --methods contrastive

Writes a JSON file and, beside it, its tables as Markdown. What an earlier call measured of other methods and contenders
stays, so the parts can be run one by one. Every contender runs in a fresh process, so that its peak memory is its own.
Time is that of `train()`: loading, tokenization and preparing the data are excluded for all. Stops if a step's loss of
a rival is more than a ten-thousandth off ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from rivals import Folded, best_product, now
from saving import add_out, save
from scoring import peak
from spillover.experiment import TuneConfig, parse_experiment
from spillover.models.load import load, resolve_dtype
from spillover.models.tuning.contrastive import encode_pair
from spillover.models.tuning.loss import IGNORED, encode
from spillover.pipeline import Run
from spillover.records import Example
from spillover.store import Store
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify
from trainers import CONTENDERS, IMPOSSIBLE, METHODS, RATE, SEED, Contender, contrastive, ours
from tuning_results import CONTRASTIVE, Result, as_result, check, tables

SHAPES = {
    "1B": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_key_value_heads": 4},
    "7B": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32},
}
"""Llama's shapes for the share of the peak rate, on a GPU alone."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the paper's files, of which SNLI is read")
    parser.add_argument(
        "--examples", type=int, default=320, help="examples to learn, half of each language (%(default)s)"
    )
    parser.add_argument("--batch", type=int, default=16, help="examples a step (%(default)s)")
    parser.add_argument("--turns", type=int, default=1, help="how often each contender runs (%(default)s)")
    parser.add_argument("--methods", nargs="+", default=["lora"], choices=[*METHODS, CONTRASTIVE])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--model", default="gemma-3-270m", help="%(default)s")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--processor-time", action="store_true", help="count seconds of the processor")
    add_out(parser, "methods")
    parser.add_argument("--of", nargs=2, help=argparse.SUPPRESS)  # the method and the contender that a child runs
    return parser.parse_args()


def main() -> None:
    """Run everything, or in a child one contender."""
    asked = parse()
    if asked.of is not None:
        method, contender = asked.of
        print(json.dumps(reach(asked, method) if method in SHAPES else asdict(compete(asked, method, contender))))
        return
    pairs = [
        (method, contender)
        for method in asked.methods
        for contender in (["ours"] if method == CONTRASTIVE else asked.contenders)
        if (method, contender) not in IMPOSSIBLE
    ]
    earlier = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {"rows": [], "llama_shapes": {}}
    rows = [row for row in map(as_result, earlier["rows"]) if (row.method, row.contender) not in pairs]
    shapes = earlier["llama_shapes"]
    for _ in range(asked.turns):
        for method, contender in pairs:
            rows.append(as_result(child(asked, method, contender)))
            check(rows)
            results = {"machine": facts(asked), "rows": [asdict(row) for row in rows], "llama_shapes": shapes}
            save(asked.out, results, tables(results))
    if torch.cuda.is_available():
        results |= {"llama_shapes": {name: child(asked, name, "ours") for name in SHAPES}}
        save(asked.out, results, tables(results))


def child(asked: argparse.Namespace, method: str, contender: str) -> dict[str, Any]:
    """Run a contender, or a shape, in a process of its own."""
    shared = ("data", "examples", "batch", "model", "dtype")
    arguments = [text for name in shared for text in (f"--{name}", str(getattr(asked, name)))]
    arguments += ["--processor-time"] if asked.processor_time else []
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--of", method, contender],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    notify(f"{method}, {contender}: {result}")
    return result


def facts(asked: argparse.Namespace) -> dict[str, str]:
    """Return what the numbers depend on."""
    found = dict(versions()) | {"trl": version("trl")} | dict(machine())
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    found |= {"threads": str(torch.get_num_threads()), "model": asked.model, "dtype": resolve_dtype(asked.dtype)}
    found["seconds of"] = "the processor" if asked.processor_time else "the clock"
    return found | {"date": date.today().isoformat()}


def examples(asked: argparse.Namespace) -> list[Example]:
    """Return what to learn: SNLI's questions, zh/de=>en, as an experiment builds them."""
    table = {
        "questions": {"source": f"paper:{asked.data}", "task": "entailment", "limit": -(-asked.examples // 2)},
        "translate": {"to": ["zh", "de"]},
        "evaluate": {"tasks": ["paraphrase"]},  # nothing is measured
    }
    with tempfile.TemporaryDirectory() as place:
        run = Run(parse_experiment(table, "benchmark"), Store(Path(place), "tuning"))
        return run.training_set.examples[: asked.examples]


def compete(asked: argparse.Namespace, method: str, contender: str) -> Result:
    """Train one contender and measure it."""
    learned = examples(asked)
    imported = psutil.Process().memory_info().rss / 1e6
    model = load(asked.model, asked.dtype)
    weights = sum(part.numel() * part.itemsize for part in model.network.parameters()) / 1e6
    compared = method == CONTRASTIVE
    rows = [(encode_pair if compared else encode)(model, example) for example in learned]
    settings = TuneConfig(batch=asked.batch, **METHODS.get(method, {}))
    prepare: Contender = contrastive if compared else CONTENDERS[contender]
    with (
        tempfile.TemporaryDirectory() as place,
        prepare(model, settings, rows, options(asked, place, model.device.type)) as trainer,
    ):
        clock = process_time if asked.processor_time else now
        begun = clock()
        trainer.train()
        seconds = clock() - begun
        losses = tuple(line["loss"] for line in trainer.state.log_history if "loss" in line)
        trained = sum(part.numel() for part in trainer.model.parameters() if part.requires_grad)
    most = torch.cuda.max_memory_allocated() / 1e6 if model.device.type == "cuda" else peak()
    return Result(
        method=method,
        contender=contender,
        examples=len(rows),
        steps=len(losses),
        target_tokens=0 if compared else sum(label != IGNORED for row in rows for label in row.labels),
        learned=trained,
        seconds=seconds,
        losses=losses,
        peak=most,
        beyond_model=most - weights - (0 if model.device.type == "cuda" else imported),
    )


def options(asked: argparse.Namespace, place: str, device: str) -> dict[str, Any]:
    """Return the Trainer's arguments that all contenders share."""
    return {
        "output_dir": place,
        "per_device_train_batch_size": asked.batch,
        "learning_rate": RATE,
        "num_train_epochs": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0,  # so that the first step learns too
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": SEED,
        "use_cpu": device == "cpu",
    }


def reach(asked: argparse.Namespace, shape: str) -> dict[str, Any]:
    """Return the share of the best product's rate that ours reaches on random weights in one of Llama's shapes.

    Operations of the matrix products over weights: two a weight and token forward, two backward (no gradient of the
    frozen weights is needed); for the unembedding, the target positions alone.
    """
    learned = examples(asked)
    torch.manual_seed(SEED)
    with torch.device("cuda"):
        network = AutoModelForCausalLM.from_config(
            LlamaConfig(vocab_size=32_000, **SHAPES[shape]), dtype=torch.bfloat16
        )
    model = Folded(network.eval(), load(asked.model, asked.dtype).tokenizer, chat=False)
    rows = [encode(model, example) for example in learned]
    linear = sum(part.weight.numel() for part in model.backbone.modules() if isinstance(part, torch.nn.Linear))
    read, targets = sum(len(row.tokens) for row in rows), sum(label != IGNORED for row in rows for label in row.labels)
    operations = 4.0 * (linear * read + model.unembedding.weight.numel() * targets)
    with (
        tempfile.TemporaryDirectory() as place,
        ours(model, TuneConfig(batch=asked.batch), rows, options(asked, place, "cuda")) as trainer,
    ):
        trainer.train()  # once to warm up
        begun = now()
        trainer.train()
        seconds = now() - begun
    product = best_product(torch.bfloat16, model.device)
    found = {"tokens_per_second": read / seconds, "target_tokens_per_second": targets / seconds}
    return found | {"share_of_best_product": operations / seconds / product, "best_product_tflops": product / 1e12}


if __name__ == "__main__":
    main()
