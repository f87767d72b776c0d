"""The first prompt of each arm: the tokens that the model reads for the first item, as texts."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spillover.experiment import parse_experiment
from spillover.records import Item
from spillover.stages.arms import Arm
from spillover.stages.first_prompts import first_prompts
from spillover.store import Store
from spillover.tasks import open_task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@pytest.mark.parametrize("name", ["sentiment", "reading"])
def test_tokens_and_their_texts(
    name: str, tokenizer_folder: Path, tokenizer: "PreTrainedTokenizerFast", tmp_path: Path
) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    experiment = parse_experiment({"model": {"name": str(folder)}}, "test")
    task = open_task(name)
    items = [Item(name, id, "de", ("Alles ist neu.",) * len(task.fields), 0) for id in ("n1", "n2")]
    arms = [Arm(arm, experiment, None) for arm in ("base", "tuned")]
    english = [replace(item, language="en") for item in items]
    cells = {(name, "en"): english, (name, "de"): items, (name, "th"): items}
    prompts = list(first_prompts(Store(tmp_path / "runs", "one"), arms, cells))
    assert [(p.arm, p.task, p.language, p.item) for p in prompts] == [(a.name, name, "de", "n1") for a in arms]
    prompt = task.prompt(items[0])
    for first in prompts:
        assert list(first.ids) == tokenizer(prompt.header + prompt.body)["input_ids"]
        assert len(first.tokens) == len(first.ids)
    assert first.tokens[-1] == ":"
    (shown,) = first_prompts(Store(tmp_path / "runs", "one"), arms[:1], {(name, "en"): english})
    assert shown.language == "en", "where nothing else is measured"


@pytest.mark.parametrize(("shots", "turns"), [("item", 3), ("en", 3), (1, 2), (0, 1)])
def test_exemplars_of_an_arm_are_turns_too(
    shots: str | int, turns: int, tokenizer_folder: Path, tokenizer: "PreTrainedTokenizerFast", tmp_path: Path
) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}<assistant>"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    model = {"name": str(folder), "template": "chat", "shots_as": "turns", "system": "Be kind."}
    arm = Arm("other", parse_experiment({"model": model}, "test"), None, shots=shots)
    items = {("sentiment", "de"): [Item("sentiment", "n1", "de", ("Alles ist neu.",), 0)]}
    (first,) = first_prompts(Store(tmp_path / "runs", "one"), [arm], items)
    text = tokenizer.decode(first.ids)
    assert text.startswith("<system>Be kind.|<user>")
    assert text.count("<user>") == text.count("<assistant>") == turns
    exemplar = open_task("sentiment").row("en" if shots == "en" else "de").exemplars[0][0]
    assert (exemplar in text) == (turns > 1)
