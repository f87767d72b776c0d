"""Mistakes that newcomers make: each ends in one sentence that says what to do next, with exit status 2.

The list was written before anybody looked at what the code answers.
"""

from pathlib import Path

import pytest

from calls import Call

EXPERIMENT = """
[questions]
source = "folder:data"

[translate]
to = ["de"]

[evaluate]
tasks = ["sentiment"]
languages = ["en", "de"]
"""

FILES = {
    "my.toml": EXPERIMENT,
    "tickets.csv": "text,label\nThe printer is on fire.,negative\n",
    "data/sentiment/questions/en.csv": "id,text\n1,It works.\n2,It broke.\n",
    "data/sentiment/questions/de.csv": "id,text\n1,Es geht.\n2,Es ist kaputt.\n",
    "data/sentiment/items/en.csv": "id,text,label\n3,Fine.,positive\n4,Bad.,negative\n",
    "data/sentiment/items/de.csv": "id,text,label\n3,Gut.,positive\n4,Schlecht.,negative\n",
}
"""The files of a newcomer who did all well."""

QUESTIONS, ITEMS = "data/sentiment/questions", "data/sentiment/items"

COMMANDS: dict[str, tuple[str, str]] = {
    "no experiment file": ("run missing.toml", "No such file or directory; expected a file such as examples/demo.toml"),
    "a folder as the experiment": ("run data", "Is a directory; expected a file such as examples/demo.toml"),
    "the data as the experiment": (
        "run tickets.csv",
        "expected an experiment in a .toml file, in which `source` names the data",
    ),
    "--set without =": ("run my.toml --set tune.epochs", "expected key.path=value, such as tune.epochs=1"),
    "--set of an unknown key": ("run my.toml --set tune.epoch=1", "did you mean 'epochs'"),
    "--set of an unknown section": ("run my.toml --set tuning.epochs=1", "unknown key 'tuning'"),
    "a word for a number": ("run my.toml --set tune.epochs=three", "tune.epochs: found 'three', expected"),
    "a negative limit": ("run my.toml --set questions.limit=-1", "questions.limit: found -1, expected"),
    "a language's name": ('run my.toml --set translate.to=["German"]', "did you mean 'de'"),
    "no such language": ('run my.toml --set translate.to=["xx"]', "translate.to: found 'xx'"),
    "one language without a list": (
        "run my.toml --set translate.to=de",
        "translate.to: found 'de', expected: a list; write a list in brackets",
    ),
    "languages in one text": ("run my.toml --set translate.to=zh,de", "expected: a list"),
    "the pivot to tune on": ('run my.toml --set translate.to=["en"]', "and not the pivot 'en'"),
    "a language twice": ('run my.toml --set translate.to=["de","deu"]', "found a language twice"),
    "a misspelled task": ('run my.toml --set evaluate.tasks=["sentimant"]', "did you mean 'sentiment'"),
    "a misspelled source": ("run my.toml --set questions.source=foldr:data", "did you mean 'folder'"),
    "a bare path as the source": (
        "questions my.toml --set questions.source=data/",
        "expected its kind before it, such as folder:data/",
    ),
    "no such folder": ("questions my.toml --set questions.source=folder:dat", "did you mean 'data'"),
    "an unknown translator": ("translate my.toml --set translate.with=deepl", "choose from parallel"),
    "a half of a precision": ("run my.toml --set model.dtype=fp16", "'float16'"),
    "an unknown recipe": ("build my.toml --set mixture.recipe=translate", "choose from question-translation"),
    "a path as the name": ("questions my.toml --name my/run", "--name: found 'my/run', expected the name of a folder"),
    "a malformed gate": ("run my.toml --gate unseen", "unseen"),
    "the status of an unknown run": ("status demo", "`spillover status` lists the runs"),
    "the page of an unknown run": ("open demo", "`spillover status demo` says what is missing"),
    "comparing an unknown run": ("compare demo other", "demo"),
    "exporting what was not tuned": ("export model runs/demo model", "`spillover tune` finished"),
    "exporting in an unknown format": ("export data my.toml out --format csv", "choose from jsonl"),
    "an unknown language to list": ("languages --like qqqq", "`spillover languages --like ''` lists all"),
}
"""Mistake → the command, and words that its sentence must contain."""

CONTENTS: dict[str, tuple[dict[str, str | bytes | None], str, str]] = {
    "a text without quotes": (
        {"my.toml": "[model]\nname = gemma\n"},
        "run",
        'a text in quotes, such as name = "gemma-3',
    ),
    "backslashes of Windows": (
        {"my.toml": '[model]\nname = "C:\\data"\n'},
        "run",
        "write / in place of each \\ of a path",
    ),
    "a path to a user of Windows": ({"my.toml": '[model]\nname = "C:\\Users"\n'}, "run", "write / in place of each"),
    "a section twice": ({"my.toml": "[tune]\nepochs = 1\n[tune]\nrank = 2\n"}, "run", "write each section once"),
    "a key twice": ({"my.toml": "[tune]\nepochs = 1\nepochs = 2\n"}, "run", "write each key once"),
    "an experiment in UTF-16": ({"my.toml": EXPERIMENT.encode("utf-16")}, "run", "save the file as UTF-8"),
    "a misspelled section": ({"my.toml": "[questoins]\nlimit = 5\n"}, "run", "did you mean 'questions'"),
    "no text column": ({f"{QUESTIONS}/en.csv": "id,body\n1,It works.\n"}, "questions", "found no column 'text'"),
    "an empty file": ({f"{QUESTIONS}/en.csv": ""}, "questions", "en.csv: empty"),
    "a header without rows": ({f"{QUESTIONS}/en.csv": "id,text\n"}, "questions", "found no rows"),
    "a workbook called CSV": ({f"{QUESTIONS}/en.csv": b"PK\x03\x04rest"}, "questions", "an Excel workbook"),
    "no file of a language": ({f"{QUESTIONS}/de.csv": None}, "translate", "languages that are there: en"),
    "broken JSON": (
        {f"{QUESTIONS}/en.csv": None, f"{QUESTIONS}/en.json": '[{"text": '},
        "questions",
        "empty, cut off or not json",
    ),
    "two files of a language": (
        {f"{QUESTIONS}/english.csv": "id,text\n1,Yes.\n"},
        "questions",
        "one file per language",
    ),
    "translations of other questions": (
        {f"{QUESTIONS}/de.csv": "id,text\n8,Es geht.\n9,Es ist kaputt.\n"},
        "translate",
        "'parallel' finds no de question with the id '1'",
    ),
}
"""Mistake → the files in place of the good ones (None: none), the command, and words of its sentence."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        write(tmp_path / name, content)
    return tmp_path


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_mistake_on_the_command_line_is_one_sentence(call: Call, mistake: str) -> None:
    line, words = COMMANDS[mistake]
    ended = call(*line.split())
    assert (ended.status, ended.err.count("\n"), ended.out) == (2, 1, ""), ended
    assert words in ended.err


@pytest.mark.parametrize("mistake", CONTENTS)
def test_a_mistake_in_a_file_is_one_sentence(call: Call, folder: Path, mistake: str) -> None:
    contents, command, words = CONTENTS[mistake]
    for name, content in contents.items():
        if content is None:
            (folder / name).unlink()
        else:
            write(folder / name, content)
    ended = call(command, "my.toml")
    assert (ended.status, ended.err.count("\n"), ended.out) == (2, 1, ""), ended
    assert words in ended.err


@pytest.mark.usefixtures("folder")
def test_without_a_mistake_the_commands_end_well(call: Call) -> None:
    """The broken twin of all tests above: what they damage works."""
    assert call("translate", "my.toml").status == 0
    Path("my.toml").write_text(EXPERIMENT, encoding="utf-8-sig")  # as the editor of Windows saves it
    assert call("translate", "my.toml").status == 0
