"""Items, translated: a labeled test set in one language becomes one in every language of the evaluation.

Each field is translated by itself; ids and gold stay. Every row names its translator, and the report repeats the name.
If a task has no row for a language, a draft of its table is written for somebody who reads the language. A draft is
refused until they confirm it.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import tomli_w

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.plugins import TRANSLATION_ENGINES
from spillover.records import Item, Question
from spillover.sources.table import TRANSLATOR
from spillover.stages.inputs import Inputs
from spillover.stages.items import balanced_subset
from spillover.stages.licenses import tell_restriction
from spillover.store import Store, write_files
from spillover.tasks import ChoiceLanguage, ChoiceTask, Task
from spillover.translate import Translator, open_translator
from spillover.utils.progress import notify


def translate_items(experiment: Experiment, store: Store) -> list[Path]:
    """Translate the items of every task, and the rows that the tasks lack.

    Returns:
        The folder of items, readable as `folder:`, and the tables drafted.

    Raises:
        SpilloverError: no language or no translator of texts is named.
    """
    wanted = experiment.evaluate.languages
    if isinstance(wanted, str):
        raise SpilloverError(f'evaluate.languages: found "{wanted}", expected those to translate into, ["es", "de"]')
    original = experiment.questions.language
    languages = [code for code in wanted if code != original]
    chosen, log = experiment.translate, partial(store.log, "translated items")
    tell_restriction(experiment)
    translator = open_translator(_refuse_parallel, chosen.translator, chosen.model, chosen.endpoint, chosen.budget, log)
    inputs = Inputs(experiment)
    contents: dict[str, str] = {}
    drafts = []
    for task in inputs.tasks.values():
        items = balanced_subset(inputs.items_in(task, original), experiment.evaluate.limit)
        contents[f"{task.name}/items/{original}.jsonl"] = _lines(task, items)
        for code in languages:
            contents[f"{task.name}/items/{code}.jsonl"] = _lines(task, _translated(items, translator, code, experiment))
        lacking = [code for code in languages if code not in task.rows]
        if lacking:
            drafts.append(store.save_new(f"tasks/{task.name}.toml", _draft(task, original, translator, lacking)))
            notify(
                f"{drafts[-1]}: a draft of {', '.join(lacking)}: read it, mend it, and delete its line `draft = true`"
            )

    def write(folder: Path) -> None:
        write_files(folder, contents)

    store.get_or_make("items", contents, "items", write)
    return [store.run / "items", *drafts]


def _refuse_parallel(language: str) -> list[Question]:
    raise SpilloverError(
        f"translate.with: 'parallel' translates no items into {language}; choose from {', '.join(TRANSLATION_ENGINES)}"
    )


def _translated(items: Sequence[Item], translator: Translator, language: str, experiment: Experiment) -> list[Item]:
    by = f"{experiment.translate.translator} {experiment.translate.model}".strip()
    texts = [Question(item.task, item.id, item.language, (*item.fields, *item.answers)) for item in items]
    translations = translator.translate(texts, language)
    return [
        Item(item.task, item.id, language, texts[:count], item.gold, by, item.cluster, texts[count:])
        for item, question in zip(items, translations, strict=True)
        for texts, count in [(question.fields, len(item.fields))]
    ]


def _lines(task: Task, items: Sequence[Item]) -> str:
    """Write items as the JSON lines that `folder:` reads."""
    rows = (
        {"id": item.id, **dict(zip(task.fields, item.fields, strict=True)), **_right(task, item)}
        | ({TRANSLATOR: item.translator} if item.translator else {})
        for item in items
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _right(task: Task, item: Item) -> dict[str, object]:
    """Return the column of the right answer."""
    return {"label": task.labels[item.gold]} if isinstance(task, ChoiceTask) else {"answer": list(item.answers)}


def _draft(task: Task, original: str, translator: Translator, languages: Sequence[str]) -> str:
    """Return a task's table with rows for more languages, marked as a draft."""
    row = task.row(original)
    words = row.labels if isinstance(row, ChoiceLanguage) else (row.conclusion,)
    parts = [(*row.fields, row.answer, *words), *row.exemplars]
    texts = [Question(task.name, str(number), original, part) for number, part in enumerate(parts)]
    table = {"draft": True} | task.model_dump(mode="json", exclude={"draft"})
    count = len(row.fields)
    for code in languages:
        named, *exemplars = ([_one_line(text) for text in q.fields] for q in translator.translate(texts, code))
        answer, *others = named[count:]
        rest = {"labels": others} if isinstance(row, ChoiceLanguage) else {"conclusion": others[0]}
        table["rows"][code] = {"fields": named[:count], "answer": answer, "exemplars": exemplars} | rest
    drafted = ", ".join(f"rows.{code}" for code in languages)
    return (
        f"# A machine drafted {drafted}. Somebody who reads the language corrects them and deletes the line below;\n"
        f"# until then the task is refused.\n{tomli_w.dumps(table)}"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
