"""How fast pairs are checked and items examined: 100,000 pairs; 20 × 600 items beside 3 × 10,000 questions.

Writes a JSON file and, beside it, a table. The texts are the starter corpus's, two and two joined so that all differ.
No model is needed: the doctor is given a tokenizer of letters, and reading a real one is not counted.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saving import add_out, save
from spillover.experiment import parse_experiment
from spillover.languages import languages
from spillover.lint import Reads, examine
from spillover.models.inference.encode import Encoded
from spillover.records import Item, Pair, Prompt, Question
from spillover.sources import open_source
from spillover.stages.inputs import Inputs
from spillover.tasks import open_labeled_task
from spillover.translate import available_checks, check, count_flags, pairs
from spillover.translate.checks import CHECKS
from spillover.utils.environment import machine

TASK = open_labeled_task("sentiment")
SOURCE = open_source("starter", {}, "benchmark")
TO = ("zh", "de", "es", "sw")


def joined(texts: Sequence[str], wanted: int) -> list[str]:
    """Return as many different texts: each with itself, then with its neighbor, and so on."""
    count = len(texts)
    return [f"{texts[n % count]} {texts[(n + n // count) % count]}" for n in range(wanted)]


def questions(language: str, wanted: int) -> list[Question]:
    """Return as many different questions; the same number is the same question in each language."""
    texts = joined([question.fields[0] for question in SOURCE.questions(TASK, language)], wanted)
    return [Question(TASK.name, str(number), language, (text,)) for number, text in enumerate(texts)]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def checking(count: int) -> dict[str, object]:
    """Time all checks on as many pairs, and each by itself on one language's."""
    english = questions("en", count // len(TO))
    batches: list[list[Pair]] = [pairs(questions(code, count // len(TO)), english) for code in TO]
    found: list[Pair] = []
    seconds = timed(lambda: found.extend(pair for batch in batches for pair in check(batch)))
    alone = {flag: round(timed(partial(CHECKS[flag], batches[1])), 2) for flag in available_checks()}
    flags = dict(count_flags(found, ()).flags)
    return {"pairs": len(found), "seconds": round(seconds, 1), "per_second": round(len(found) / seconds)} | {
        "seconds_of_each_on_a_quarter": alone,
        "flags": flags,
    }


def examining(items: int, asked: int) -> dict[str, object]:
    """Time the doctor on twenty languages of as many items, and as many questions in three languages."""
    with TemporaryDirectory() as folder:
        for code in languages():
            known = SOURCE.items(TASK, code)
            texts = joined([item.fields[0] for item in known], items)
            rows = [Item("", str(n), code, (text,), known[n % len(known)].gold) for n, text in enumerate(texts)]
            write_rows(
                folder, "items", code, [{"id": r.id, "text": r.fields[0], "label": TASK.labels[r.gold]} for r in rows]
            )
        for code in ("en", "zh", "de"):
            write_rows(folder, "questions", code, [{"id": q.id, "text": q.fields[0]} for q in questions(code, asked)])
        table = {"questions": {"source": f"folder:{folder}"}, "evaluate": {"tasks": [TASK.name]}}
        experiment = parse_experiment(table, "benchmark")
        seconds = timed(lambda: examine(Inputs(experiment), Reads(letters, 1 << 30)))
    total = items * len(languages())
    return {"items": total, "questions": 3 * asked, "seconds": round(seconds, 1), "per_second": round(total / seconds)}


def letters(prompts: Sequence[Prompt]) -> list[Encoded]:
    """Encode prompts a letter a token."""
    texts = [(p.header + p.body, [p.header + p.body + choice for choice in p.choices]) for p in prompts]
    return [
        Encoded(tuple(map(ord, text)), tuple(tuple(map(ord, whole)) for whole in wholes), 0) for text, wholes in texts
    ]


def write_rows(folder: str, kind: str, language: str, rows: Sequence[dict[str, str]]) -> None:
    """Write rows as JSON lines where a folder source looks for them."""
    place = Path(folder) / TASK.name / kind / f"{language}.jsonl"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    checked, examined = results["check"], results["lint"]
    lines = [
        "# Speed of the checks and of the doctor\n",
        "| what | how many | seconds | a second |",
        "|---|---:|---:|---:|",
        f"| pairs checked | {checked['pairs']:,} | {checked['seconds']} | {checked['per_second']:,} |",
        f"| items examined | {examined['items']:,} | {examined['seconds']} | {examined['per_second']:,} |",
        "",
        "| check | seconds on a quarter of the pairs |",
        "|---|---:|",
        *(f"| {flag} | {seconds} |" for flag, seconds in dict(checked["seconds_of_each_on_a_quarter"]).items()),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in results["machine"].items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run both and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="%(default)s")
    parser.add_argument("--items", type=int, default=600, help="a language (%(default)s)")
    parser.add_argument("--questions", type=int, default=10_000, help="a language (%(default)s)")
    add_out(parser, "data")
    asked = parser.parse_args()
    results: dict[str, dict[str, Any]] = {
        "check": checking(asked.pairs),
        "lint": examining(asked.items, asked.questions),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    results["machine"] = dict(machine()) | {"peak memory of both": f"{peak:,.0f} MB", "date": date.today().isoformat()}
    save(asked.out, results, table(results))


if __name__ == "__main__":
    main()
