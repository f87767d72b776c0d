"""How fast scoring is: ours and its rivals (`contest.RIVALS`) in turn, on the same items, model and dtype.

    pip install "lm-eval==0.4.13" "llama-cpp-python==0.3.36"    # the latter compiles llama.cpp; it may be left out

Writes a JSON file and, beside it, its tables as Markdown. Time includes tokenization and excludes loading. Stops if
the scores of two contenders differ in float32.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from contest import RIVALS, Contest, Measure, Row, open_rivals
from rivals import Folded, Ours, best_product
from saving import add_out, save
from scoring_profile import profile
from spillover.models.load import load, resolve_dtype
from spillover.utils.environment import machine, versions
from spillover.utils.progress import notify
from workload import Cell, cells

TASKS = ("entailment", "paraphrase", "sentiment")
LANGUAGES = ("en", "hi", "th")
WANTED = {
    "harness": {"entailment": 30, "paraphrase": 8, "sentiment": 3},
    "paper's loop": {"entailment": 18, "paraphrase": 10, "sentiment": 4},
    "llama.cpp": {"entailment": 1, "paraphrase": 1, "sentiment": 1},
}
"""Rival → how many times faster than its best size we mean to be on two cores, per task."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600, help="items a task, over all languages (%(default)s)")
    parser.add_argument(
        "--rival-items",
        type=int,
        default=100 if on_gpu() else 4,
        help="items of a cell that a rival is timed on; more where its batch takes more to fill (%(default)s)",
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, help="%(default)s")
    installed = [name for name in RIVALS if name != "llama.cpp" or (find_spec("llama_cpp") and not on_gpu())]
    parser.add_argument("--rivals", nargs="+", default=installed, choices=RIVALS, metavar="RIVAL", help="%(default)s")
    parser.add_argument("--model", default="gemma-3-270m", help="%(default)s")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--profile", action="store_true", help="only print where our time goes, in the first cell")
    add_out(parser, "scoring")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)  # the child that `memory` starts
    return parser.parse_args()


def on_gpu() -> bool:
    """Return whether models are read on a GPU. llama.cpp is a rival on the CPU alone."""
    return torch.cuda.is_available()


def main() -> None:
    """Run everything, or in a child the memory of one run."""
    asked = parse()
    if asked.memory_of is not None:
        print(json.dumps(memory_of(asked)))
        return
    if asked.profile:
        cell = cells(asked.tasks, asked.languages, asked.items)[0]
        body = profile(load(asked.model, asked.dtype), cell)
        print(table([f"{cell.task} {cell.language}, {len(cell.prompts)} items", "ms per item", "share"], body))
        return
    results = {
        "machine": facts(asked),
        "memory": [memory(asked, items) for items in (asked.items, -(-asked.items // 6))],
    }
    results |= compete(asked) | {"llama_7b_shape": None}
    save(asked.out, results, tables(results))
    if torch.cuda.is_available():
        results |= {"llama_7b_shape": compete_on_llama(asked)}
        save(asked.out, results, tables(results))


def facts(asked: argparse.Namespace) -> dict[str, str]:
    """Return what the numbers depend on."""
    found = dict(versions()) | {"lm_eval": version("lm_eval")} | dict(machine())
    if "llama.cpp" in asked.rivals:
        import llama_cpp

        found["llama.cpp"] = llama_cpp.llama_version().decode()
        found["llama.cpp was compiled for"] = llama_cpp.llama_print_system_info().decode().strip(" |")
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    threads = str(torch.get_num_threads())
    dtype = resolve_dtype(asked.dtype)
    return found | {"threads": threads, "model": asked.model, "dtype": dtype, "date": date.today().isoformat()}


def run(contest: Contest, work: Sequence[Cell]) -> dict[str, Any]:
    """Run the cells; contenders warm up once a task."""
    for place, cell in enumerate(work):
        if place == 0 or work[place - 1].task != cell.task:
            contest.warm_up(cell)
        contest.compete(cell)
    found: dict[str, Sequence[Any]]
    found = {"rows": contest.rows, "measures": contest.measures, "agreement": contest.agreements}
    return {name: [asdict(one) for one in several] for name, several in found.items()}


def compete(asked: argparse.Namespace) -> dict[str, Any]:
    """Run the contest; if its dtype is not float32, compare scores in float32 too."""
    work = cells(asked.tasks, asked.languages, asked.items)
    model = load(asked.model, asked.dtype)
    product = best_product(model.network.dtype, model.device)
    found: dict[str, Any] = {"best_product_gflops": product / 1e9}
    with TemporaryDirectory() as folder:
        rivals = open_rivals(asked.rivals, model, Path(folder))
        found |= run(Contest(model, rivals, asked.rival_items, product), work)
    if model.network.dtype != torch.float32:
        model = load(asked.model, "float32")
        with TemporaryDirectory() as folder:
            rivals = open_rivals(asked.rivals, model, Path(folder), every_size=False)
            exact = Contest(model, rivals, asked.rival_items, product)
            for cell in work:
                exact.check(cell)
        found["agreement"] += [asdict(one) for one in exact.agreements]
    return found


def compete_on_llama(asked: argparse.Namespace) -> dict[str, Any]:
    """Run ours and the harness on a network of Llama's 7B shape with random weights, in bf16."""
    config = LlamaConfig(vocab_size=32_000, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32)
    torch.manual_seed(0)
    with torch.device("cuda"):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = Folded(network.eval(), load(asked.model, asked.dtype).tokenizer, chat=False)
    product = best_product(torch.bfloat16, model.device)
    contest = Contest(model, open_rivals(["harness"], model, Path()), asked.rival_items, product)
    return {"best_product_gflops": product / 1e9} | run(contest, cells(asked.tasks, asked.languages, asked.items))


def memory(asked: argparse.Namespace, items: int) -> dict[str, float]:
    """Return the peak memory of scoring as many items of one cell, in a process of its own.

    Call it while this process is small: a child's peak never counts less than its parent held when it was started.
    """
    given = ["--memory-of", str(items), "--model", asked.model, "--dtype", asked.dtype]
    given += ["--tasks", asked.tasks[0], "--languages", asked.languages[-1]]
    notify(f"memory of {items} items of {asked.tasks[0]} {asked.languages[-1]}")
    done = subprocess.run([sys.executable, __file__, *given], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_of(asked: argparse.Namespace) -> dict[str, float]:
    """Load, score and return the peaks in MB; `beyond_model` is what imports and weights leave of the last."""
    (cell,) = cells(asked.tasks, asked.languages, asked.memory_of)
    imported = psutil.Process().memory_info().rss / 1e6
    model = load(asked.model, asked.dtype)
    weights = sum(part.numel() * part.itemsize for part in model.network.parameters()) / 1e6
    loaded = peak()
    Ours(model)(cell.prompts)
    most = peak()
    if model.device.type == "cuda":
        imported, most = 0.0, torch.cuda.max_memory_allocated() / 1e6
    found = {"items": len(cell.prompts), "imported": imported, "weights": weights, "peak_loaded": loaded}
    return found | {"peak_scored": most, "beyond_model": most - imported - weights}


def peak() -> float:
    """Return this process's peak memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    lines = [head, ["---" if not column else "---:" for column in range(len(head))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def tables(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    parts = ["# Speed of scoring\n", *_contest_tables(results)]
    body = [[f"{value:,.0f}" for value in row.values()] for row in results["memory"]]
    parts += ["## Memory, in MB\n", table([name.replace("_", " ") for name in results["memory"][0]], body)]
    if results["llama_7b_shape"]:
        parts += ["# Random weights in Llama's 7B shape, bf16\n", *_contest_tables(results["llama_7b_shape"])]
    parts += ["## Machine\n", table(["", ""], [list(pair) for pair in results["machine"].items()])]
    return "\n".join(parts)


def _contest_tables(results: dict[str, Any]) -> list[str]:
    rows, measures = [Row(**row) for row in results["rows"]], [Measure(**row) for row in results["measures"]]
    return [
        "## Times faster, median over languages\n",
        _summary([row for row in rows if row.ratio]),
        "## Items per second (times faster)\n",
        _rates(rows),
        _agreement(results["agreement"]),
        f"## Against the bare backbone; the best matrix product does {results['best_product_gflops']:,.0f} GFLOP/s\n",
        _shares(measures),
    ]


def _agreement(found: Sequence[dict[str, Any]]) -> str:
    """Return a line per dtype and kind of rival."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found:
        groups.setdefault((one["dtype"], one["rival"].partition(",")[0]), []).append(one)
    lines = []
    for (dtype, kind), several in groups.items():
        compared, seen = (sum(one[name] for one in several) for name in ("compared", "items"))
        worst = max(one["largest_difference"] for one in several)
        lines.append(f"Scores of {kind} in {dtype}: {compared} of {seen}, largest difference {worst:.1e} nats.\n")
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> str:
    """Return per task the median, over languages, of the ratio to the best size of each rival."""
    tasks, kinds = (dict.fromkeys(names) for names in zip(*((row.task, _kind(row)) for row in rows), strict=True))
    body = []
    for task in tasks:
        body.append([task])
        for kind in kinds:
            by_language: dict[str, list[float]] = {}
            for row in rows:
                if row.task == task and _kind(row) == kind and row.ratio:
                    by_language.setdefault(row.language, []).append(row.ratio)
            best = [min(ratios) for ratios in by_language.values()]
            body[-1] += [f"{median(best):.1f}×" if best else "", f"{WANTED[kind][task]}×"]
    return table(["task", *(title for kind in kinds for title in (f"than {kind}, best", "wanted"))], body)


def _kind(row: Row) -> str:
    return row.rival.partition(",")[0]


def _rates(rows: Sequence[Row]) -> str:
    body: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        line = body.setdefault((row.task, row.language), [row.task, row.language])
        times = f" ({row.ratio:.1f}×)" if row.ratio else ""
        line.append(f"{row.items_per_second:.2f}{times}" if row.items_per_second else "does not fit")
    names = dict.fromkeys(row.rival for row in rows)
    return table(["task", "language", *names], list(body.values()))


def _shares(measures: Sequence[Measure]) -> str:
    head = ["task", "language", "shared tokens", "unshared", "read", "unshared a second", "bare backbone's", "share"]
    head += ["share of tokens read while reading", "share of best product", "twice the items", "twice the shots"]
    body = []
    for one in measures:
        shares = (one.share_of_backbone, one.share_of_backbone_reading, one.share_of_best_product)
        rates = (one.unshared_tokens_per_second, one.backbone_tokens_per_second)
        grown = [f"{times:.2f}×" if times else "" for times in (one.twice_items, one.twice_shots)]
        counts = [f"{value:,.0f}" for value in (one.shared_tokens, one.unshared_tokens, one.tokens_read, *rates)]
        body.append([one.task, one.language, *counts, *(f"{share:.0%}" for share in shares), *grown])
    return table(head, body)


if __name__ == "__main__":
    main()
