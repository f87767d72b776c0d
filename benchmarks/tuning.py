"""How fast tuning is: ours, TRL's SFTTrainer and the plain Trainer in turn, on the same steps, LoRA and dtype.

Writes a JSON file and, beside it, its tables as Markdown. Every contender runs in a fresh process, so that its peak
memory is its own. Time is that of `train()`: loading, tokenization and preparing the data are excluded for all. Stops
if a contender's held-out loss is more than 1% off ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq, LlamaConfig, Trainer, TrainingArguments, set_seed

from rivals import Folded, best_product, now
from saving import add_out, save
from scoring import peak, table
from spillover.experiment import parse_experiment
from spillover.models.load import Model, load, resolve_dtype
from spillover.models.tuning.loss import IGNORED, TokenizedExample, encode, loss_as_forward
from spillover.models.tuning.schedule import Steps
from spillover.models.tuning.trainer import TargetTrainer
from spillover.pipeline import Run
from spillover.records import Example
from spillover.store import Store
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify

BATCH, RANK, ALPHA, RATE, SEED = 16, 8, 16, 1e-4, 0
HELD_OUT = 48
"""Examples that the loss is compared on."""
TOLERANCE = 0.01
"""Largest difference of a rival's held-out loss from ours, as a share of ours."""
WANTED = {"target tokens a second": 1.8, "peak memory": 0.6}
"""How many times TRL's we mean to reach on two cores: at least, and at most."""
SHAPES = {
    "1B": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_key_value_heads": 4},
    "7B": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32},
}
"""Llama's shapes for the share of the peak rate, on a GPU alone."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's run."""

    contender: str
    examples: int
    steps: int
    target_tokens: int
    """Tokens that are learned, over the run."""
    seconds: float
    held_out_before: float
    """Loss on the held-out examples before the first step, in nats a target token."""
    held_out_after: float
    """The same after the last step, measured with ours for every contender."""
    peak: float
    """Peak memory of the process (on a GPU: of its allocator), in MB."""
    beyond_model: float
    """What imports and weights leave of it."""

    @property
    def rate(self) -> float:
        """Target tokens a second."""
        return self.target_tokens / self.seconds


def ours(model: Model, network: Any, rows: list[TokenizedExample], options: dict[str, Any]) -> Callable[[], object]:  # noqa: ANN401
    """Return what trains with ours."""
    trainer = TargetTrainer(network, rows, [], Steps(len(rows), BATCH, SEED), TrainingArguments(**options))

    def train() -> None:
        with loss_as_forward(model):
            trainer.train()

    return train


def trl(model: Model, network: Any, rows: list[TokenizedExample], options: dict[str, Any]) -> Callable[[], object]:  # noqa: ANN401
    """Return what trains with TRL, its loss on the completion alone; no activation is computed twice, as in ours."""
    return _trl(model, network, rows, options | {"gradient_checkpointing": False})


def trl_as_it_comes(
    model: Model,
    network: Any,  # noqa: ANN401
    rows: list[TokenizedExample],
    options: dict[str, Any],
) -> Callable[[], object]:
    """Return the same with TRL's own defaults: it recomputes activations, which saves memory and costs time."""
    return _trl(model, network, rows, options)


def _trl(model: Model, network: Any, rows: list[TokenizedExample], options: dict[str, Any]) -> Callable[[], object]:  # noqa: ANN401
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    masks = [[int(label != IGNORED) for label in row.labels] for row in rows]
    data = Dataset.from_dict({"input_ids": [list(row.tokens) for row in rows], "completion_mask": masks})
    arguments = SFTConfig(**options, completion_only_loss=True, max_length=None, bf16=False)
    train: Callable[[], object] = SFTTrainer(
        model=network, args=arguments, train_dataset=data, processing_class=model.tokenizer
    ).train
    return train


def plain(model: Model, network: Any, rows: list[TokenizedExample], options: dict[str, Any]) -> Callable[[], object]:  # noqa: ANN401
    """Return what trains with the plain Trainer, each step padded to its longest example."""
    data = [{"input_ids": list(row.tokens), "labels": list(row.labels)} for row in rows]
    collator = DataCollatorForSeq2Seq(model.tokenizer, label_pad_token_id=IGNORED)
    arguments = TrainingArguments(**options)
    train: Callable[[], object] = Trainer(
        model=network, args=arguments, train_dataset=data, data_collator=collator
    ).train
    return train


CONTENDERS = {"ours": ours, "TRL": trl, "TRL as it comes": trl_as_it_comes, "plain Trainer": plain}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the paper's files, of which SNLI is read")
    parser.add_argument(
        "--examples", type=int, default=320, help="examples to learn, half of each language (%(default)s)"
    )
    parser.add_argument("--turns", type=int, default=3, help="how often each contender runs (%(default)s)")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--model", default="gemma-3-270m", help="%(default)s")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    add_out(parser, "tuning")
    parser.add_argument("--of", help=argparse.SUPPRESS)  # the contender that a child runs
    return parser.parse_args()


def main() -> None:
    """Run everything, or in a child one contender."""
    asked = parse()
    if asked.of is not None:
        result = compete(asked) if asked.of in CONTENDERS else reach(asked, asked.of)
        print(json.dumps(result if isinstance(result, dict) else asdict(result)))
        return
    found: list[Result] = []
    for _ in range(asked.turns):
        found += [Result(**child(asked, name)) for name in asked.contenders]
        check(found)
    shapes = {name: child(asked, name) for name in SHAPES} if torch.cuda.is_available() else {}
    results = {"machine": facts(asked), "rows": [asdict(one) for one in found], "llama_shapes": shapes}
    save(asked.out, results, tables(results))


def child(asked: argparse.Namespace, name: str) -> dict[str, Any]:
    """Run a contender, or a shape, in a process of its own."""
    given = [
        "--data",
        str(asked.data),
        "--examples",
        str(asked.examples),
        "--model",
        asked.model,
        "--dtype",
        asked.dtype,
    ]
    done = subprocess.run(
        [sys.executable, __file__, *given, "--of", name], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    notify(f"{name}: {found}")
    return found


def facts(asked: argparse.Namespace) -> dict[str, str]:
    """Return what the numbers depend on."""
    found = dict(versions()) | {"trl": version("trl")} | dict(machine())
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    found |= {"threads": str(torch.get_num_threads()), "model": asked.model, "dtype": resolve_dtype(asked.dtype)}
    return found | {"examples a step": str(BATCH), "date": date.today().isoformat()}


def examples(asked: argparse.Namespace) -> tuple[list[Example], list[Example]]:
    """Return what to learn and what is held out: SNLI's questions, zh/de=>en, as an experiment builds them."""
    wanted = -(-(asked.examples + HELD_OUT) // 2)
    table = {
        "questions": {"source": f"paper:{asked.data}", "task": "entailment", "limit": wanted},
        "translate": {"to": ["zh", "de"]},
        "evaluate": {"tasks": ["paraphrase"]},  # nothing is measured
    }
    with tempfile.TemporaryDirectory() as place:
        run = Run(parse_experiment(table, "benchmark"), Store(Path(place), "tuning"))
        found = run.training_set.examples
    return found[HELD_OUT : HELD_OUT + asked.examples], found[:HELD_OUT]


def compete(asked: argparse.Namespace) -> Result:
    """Train one contender and measure it."""
    learned, held_out = examples(asked)
    imported = psutil.Process().memory_info().rss / 1e6
    model = load(asked.model, asked.dtype)
    weights = sum(part.numel() * part.itemsize for part in model.network.parameters()) / 1e6
    network = adapted(model)
    # Ours draws this order by itself; the rivals read it as it stands, so every step holds the same examples.
    rows, order = [encode(model, example) for example in learned], Steps(len(learned), BATCH, SEED)
    given = rows if asked.of == "ours" else [rows[place] for step in order for place in step]
    before = held_out_loss(model, network, held_out)
    with tempfile.TemporaryDirectory() as place:
        train = CONTENDERS[asked.of](model, network, given, options(model, place))
        begun = now()
        train()
        seconds = now() - begun
    most = torch.cuda.max_memory_allocated() / 1e6 if model.device.type == "cuda" else peak()
    return Result(
        contender=asked.of,
        examples=len(rows),
        steps=len(order),
        target_tokens=sum(label != IGNORED for row in rows for label in row.labels),
        seconds=seconds,
        held_out_before=before,
        held_out_after=held_out_loss(model, network, held_out),
        peak=most,
        beyond_model=most - weights - (0 if model.device.type == "cuda" else imported),
    )


def adapted(model: Model) -> Any:  # noqa: ANN401 - the network with its adapter
    """Return the network with the LoRA that all contenders train, from the same seed."""
    set_seed(SEED)
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model.network, lora)


def options(model: Model, place: str) -> dict[str, Any]:
    """Return the Trainer's arguments that all contenders share."""
    return {
        "output_dir": place,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "num_train_epochs": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": SEED,
        "use_cpu": model.device.type == "cpu",
    }


def held_out_loss(model: Model, network: Any, held_out: list[Example]) -> float:  # noqa: ANN401
    """Return the loss on what is held out, measured alike for all."""
    rows = [encode(model, example) for example in held_out]
    with tempfile.TemporaryDirectory() as place, loss_as_forward(model):
        arguments = TrainingArguments(**options(model, place))
        return TargetTrainer(network, rows, rows, Steps(len(rows), BATCH, SEED), arguments).evaluate()["eval_loss"]


def check(found: list[Result]) -> None:
    """Stop if a rival learned something else."""
    mine = next((one.held_out_after for one in found if one.contender == "ours"), None)
    for one in found:
        if mine is not None and abs(one.held_out_after - mine) > TOLERANCE * mine:
            raise SystemExit(f"held-out loss of {one.contender}: {one.held_out_after:.4f}, of ours: {mine:.4f}")


def reach(asked: argparse.Namespace, shape: str) -> dict[str, Any]:
    """Return the share of the best product's rate that ours reaches on random weights in one of Llama's shapes.

    Operations of the matrix products over weights: two a weight and token forward, two backward (no gradient of the
    frozen weights is needed); for the unembedding, the target positions alone.
    """
    learned, _ = examples(asked)
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
    with tempfile.TemporaryDirectory() as place:
        train = ours(model, adapted(model), rows, options(model, place))
        train()  # once to warm up
        begun = now()
        train()
        seconds = now() - begun
    product = best_product(torch.bfloat16, model.device)
    found = {"tokens_per_second": read / seconds, "target_tokens_per_second": targets / seconds}
    return found | {"share_of_best_product": operations / seconds / product, "best_product_tflops": product / 1e12}


def tables(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = [Result(**row) for row in results["rows"]]
    names = list(dict.fromkeys(row.contender for row in rows))

    def middle(name: str, value: Callable[[Result], float]) -> float:
        return median(value(row) for row in rows if row.contender == name)

    head = ["contender", "target tokens a second", "ours is faster", "peak memory, MB", "ours over it"]
    head += ["beyond the model, MB", "ours over it", "held-out loss before", "after"]
    body = []
    for name in names:
        line = [name, f"{middle(name, lambda row: row.rate):.1f}"]
        line.append(f"{middle('ours', lambda row: row.rate) / middle(name, lambda row: row.rate):.2f}×")
        for field in ("peak", "beyond_model"):
            own, other = (middle(one, attrgetter(field)) for one in ("ours", name))
            line += [f"{other:,.0f}", f"{own / other:.2f}×"]
        losses = (lambda row: row.held_out_before, lambda row: row.held_out_after)
        body.append([*line, *(f"{middle(name, loss):.4f}" for loss in losses)])
    wanted = ", ".join(f"{name} {times}×" for name, times in WANTED.items())
    parts = ["# Speed of tuning\n", f"Medians over turns. Wanted against TRL: {wanted}.\n", table(head, body)]
    if results["llama_shapes"]:
        lines = [
            [name, *(f"{value:,.2f}" for value in shape.values())] for name, shape in results["llama_shapes"].items()
        ]
        columns = [name.replace("_", " ") for name in next(iter(results["llama_shapes"].values()))]
        parts += ["## Random weights in Llama's shapes, bf16\n", table(["shape", *columns], lines)]
    parts += ["## Machine\n", table(["", ""], [list(pair) for pair in results["machine"].items()])]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
