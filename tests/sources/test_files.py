"""Files as people have them: whatever wrote a table, the same items come out, or one sentence says why not."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.lint import reading
from spillover.sources import remarks
from spillover.sources.folder import Folder
from spillover.sources.paper import Paper
from spillover.sources.remarks import gathering
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task

TABLE = [
    ("a", 'Schön, "sehr" gut; für 5\u202f€ – ja', "positive"),
    ("b", "Zwei\nZeilen", "negative"),
    ("c", "x" * 200_000, "positive"),
]
ROWS = [dict(zip(("id", "text", "label"), cells, strict=True)) for cells in TABLE]
EXPECTED = [(id, (text,), int(label == "negative")) for id, text, label in TABLE]


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test be the first that this process reads files in."""
    monkeypatch.setattr(remarks, "printed", {})


def separated(separator: str, before: str = "", after: str = "", end: str = "\r\n") -> str:
    file = io.StringIO(newline="")
    quoting: Literal[0, 1] = (
        csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
    )  # beside it, Python leaves a line feed bare
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("id", "text", "label"), *TABLE])
    return before + file.getvalue() + after


def lines(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def folder(root: Path, **files: bytes | str) -> Folder:
    """Write files of sentiment items; a name's `__` is its dot."""
    items = root / "sentiment" / "items"
    items.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (items / name.replace("__", ".")).write_bytes(data)
    return Folder(str(root), {})


def read(source: Folder, language: str = "de") -> list[tuple[str, tuple[str, ...], int]]:
    return [(item.id, item.fields, item.gold) for item in source.items(open_task("sentiment"), language)]


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


FORMS: dict[str, tuple[str, str | bytes, str]] = {
    "a German Excel": ("csv", "\ufeff" + separated(";", after=";;\r\n;;\r\n"), "columns are separated by semicolons"),
    "Excel with its own line": ("csv", separated(";", before="sep=;\r\n"), "columns are separated by semicolons"),
    "blank rows in between": ("csv", separated(",").replace("\r\nb,", "\r\n,,\r\n\r\nb,"), ""),
    "columns without a name": ("csv", "id,text,label,,\r\n" + separated(",").partition("\r\n")[2], ""),
    "an index without a name": ("csv", pd.DataFrame(ROWS).to_csv(), ""),
    "blanks in the header": ("csv", separated(",").replace("id,text,label", "id, text ,label "), ""),
    "tabs called csv": ("csv", separated("\t"), "columns are separated by tabs"),
    "bars": ("csv", separated("|"), "columns are separated by bars"),
    "tsv": ("tsv", separated("\t", end="\n"), ""),
    "commas called tsv": ("tsv", separated(","), "columns are separated by commas"),
    "an old Mac's line ends": ("csv", separated(",", end="\r"), ""),
    "upper case": ("CSV", separated(","), ""),
    "UTF-16 of Excel": ("csv", codecs.BOM_UTF16_LE + separated("\t").encode("utf-16-le"), "read as UTF-16-LE, as the"),
    "UTF-16, big end first": ("jsonl", codecs.BOM_UTF16_BE + lines(ROWS).encode("utf-16-be"), "read as UTF-16-BE, as"),
    "UTF-16 without a mark": (
        "csv",
        separated(",").encode("utf-16-le"),
        "read as UTF-16-LE, without a byte-order mark",
    ),
    "UTF-16-BE without a mark": ("json", json.dumps(ROWS).encode("utf-16-be"), "read as UTF-16-BE, without"),
    "UTF-32": ("csv", separated(",").encode("utf-32"), "read as UTF-32"),
    "gzip": ("csv.gz", gzip.compress(separated(",").encode()), ""),
    "gzip of lines": ("jsonl.gz", gzip.compress(lines(ROWS).encode()), ""),
    "gzip of Parquet": ("parquet.GZ", gzip.compress(parquet()), ""),
    "gzip by another name": ("json", gzip.compress(json.dumps(ROWS).encode()), ""),
    "no gzip by name": ("csv.gz", separated(","), ""),
    "lines called json": ("json", lines(ROWS), ""),
    "a list called jsonl": ("jsonl", json.dumps(ROWS), ""),
    "a list over lines called jsonl": ("jsonl", "\n" + json.dumps(ROWS, indent=1), ""),
    "rows under a key": ("json", json.dumps({"version": "1", "tags": [], "data": ROWS}), "rows stand under 'data'"),
    "rows under a key in one line": ("jsonl", json.dumps({"data": ROWS}), "rows stand under 'data'"),
    "pandas, by columns": ("json", pd.DataFrame(ROWS).to_json(), "rows are written column by column"),
    "pandas, lists": ("json", json.dumps(pd.DataFrame(ROWS).to_dict("list")), "rows are written column by column"),
    "pandas, as a table": ("json", pd.DataFrame(ROWS).to_json(orient="table"), "rows stand under 'data'"),
    "pandas, lines": ("json", pd.DataFrame(ROWS).to_json(orient="records", lines=True), ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_wrote_the_file_the_items_are_the_same(tmp_path: Path, form: str) -> None:
    ending, content, note = FORMS[form]
    with gathering() as notes:
        assert read(folder(tmp_path, **{f"de.{ending}": content})) == EXPECTED
    assert bool(notes) == bool(note)
    assert note in "".join(notes.values())


PAGES = {
    "de": ("cp1252", "schön für 5 € – „gut“"),
    "fr": ("cp1252", "L’été, ça m’a plu à Noël"),
    "is": ("cp1252", "Þetta er góð bók"),
    "sl": ("cp1250", "Čevlji so žal preveč škripali"),
    "pl": ("cp1250", "Zażółć gęślą jaźń"),
    "ru": ("cp1251", "Очень хорошая книга"),
    "bg": ("cp1251", "Много добра книга"),
    "th": ("cp874", "หนังสือดีมาก"),
    "ja": ("cp932", "とても良い本です"),
    "zh": ("gbk", "这本书非常好"),
}
"""Language → what Windows there calls ANSI, and a text."""


@pytest.mark.parametrize("code", PAGES)
def test_what_is_no_utf8_is_read_as_that_languages_windows_writes_it(tmp_path: Path, code: str) -> None:
    page, text = PAGES[code]
    with gathering() as notes:
        source = folder(tmp_path, **{f"{code}.csv": f"text;label\r\n{text};positive\r\n".encode(page)})
        assert read(source, code) == [("0", (text,), 0)]
    (note,) = (note for note in notes.values() if "read as" in note)
    assert f"read as {page}, since no UTF-8 stands at byte" in note
    word = note.partition("with the word ")[2].strip("')")
    assert word.isalpha()
    assert word in text
    assert not word.isascii()


UNREADABLE: dict[str, tuple[str, bytes | str, str]] = {
    "a column twice": ("de.csv", "id,text,text,label\n1,a,b,positive\n", "the header names the column 'text' twice"),
    "a column twice but for blanks": ("de.csv", "text, text ,label\na,b,positive\n", "the column 'text' twice"),
    "a key twice": ("de.json", '[{"text": "a", "text": "b", "label": "positive"}]', "found the key 'text' twice"),
    "a key twice in a line": (
        "de.jsonl",
        '{"text": "a"}\n{"text": "a", "text": "b"}\n',
        "line 2: found the key 'text'",
    ),
    "text in a column without a name": (
        "de.csv",
        "text,label,\na,b,positive\n",
        "line 2: found 'positive' in a column",
    ),
    "damaged UTF-8": ("de.csv", b"text,label\nf\xc3\xbcr dich sch\xf6n gr\xc3\xbcn,positive\n", "no UTF-8 at byte 24"),
    "UTF-8 cut off": ("de.jsonl", lines([{"text": "für grün"}]).encode()[:-5], "found no UTF-8 at byte 17"),
    "no page of that language": (
        "hi.csv",
        b"text,label\n\xe9,positive\n",
        "found no UTF-8 at byte 11, .*save the file",
    ),
    "undefined in the page": ("de.csv", b"text,label\n\x81\x8d,positive\n", "neither UTF-8 nor cp1252 at byte 11"),
    "a workbook": (
        "de.csv",
        b"PK\x03\x04\x14\x00\x06\x00",
        "found a zip archive, such as an Excel workbook .*`CSV",
    ),
    "Parquet by another name": ("de.csv", b"PAR1\x15\x00", "found a Parquet file; call it .parquet"),
    "a zero byte": ("de.csv", b"text,label\na\x00b,positive\n", "found a zero byte at byte 12, expected text"),
    "a quotation mark that is not closed": (
        "de.csv",
        'text,label\na,positive\n"b,negative\nc"d,positive\n',
        "in the row that begins on line 3",
    ),
    "a comma without quotation marks": (
        "de.csv",
        "text,label\na, b,positive\n",
        r"line 2: found 3 cells, expected 2 as in the header \(text, label\); quote each cell",
    ),
    "a key twice in the first line": (
        "de.jsonl",
        '{"id": "r7", "text": "a", "text": "b"}\n{"id": "r8"}\n',
        "'text' twice in the object that begins with 'id': 'r7'",
    ),
    "a line cut off": ("de.jsonl", '{"text": "a"}\n{"text": "b', "line 2, column 10: not valid JSON: Unterminated"),
    "an object of objects": (
        "de.json",
        '{"version": 1, "data": {"x": []}}',
        "with the keys 'version', 'data'",
    ),
    "a binary file": ("de.csv", b"PK\x03\x04\x00\x00\x00\x08\x00\x00", "save the file as UTF-8|found no rows|cut off"),
    "Git LFS": (
        "de.csv",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "`git lfs pull` gets it",
    ),
    "gzip cut off": ("de.csv.gz", gzip.compress(separated(",").encode())[:50], "cut off or not gzip"),
    "two lists of rows": (
        "de.json",
        '{"train": [{"text": "a"}], "test": [{"text": "b"}]}',
        "under 'train' and under 'test'",
    ),
    "an object per id": (
        "de.json",
        '{"x1": {"text": "a", "label": 0}}',
        "found an object with the keys 'x1'",
    ),
    "columns of two lengths": (
        "de.json",
        '{"text": ["a", "b"], "label": [0]}',
        "the keys 'text', 'label'",
    ),
    "columns with other numbers": (
        "de.json",
        '{"text": {"0": "a"}, "label": {"1": 0}}',
        "the keys 'text', 'label'",
    ),
    "an object's end": (
        "de.json",
        '{"text": "a",\n "label": 0}\n{"text": "b",\n "label": 0}',
        "cut off or not json: Extra",
    ),
    "depth": ("de.json", "[" * 100_000, "de.json: empty, cut off or not json"),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_what_leaves_two_readings_is_one_sentence(tmp_path: Path, fault: str) -> None:
    name, content, message = UNREADABLE[fault]
    with pytest.raises(SpilloverError, match=message) as caught:
        read(folder(tmp_path, **{name: content}), name[:2])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), sink)
    with pytest.raises(SpilloverError, match=r"de.parquet: found the column 'text' twice"):
        read(folder(tmp_path, de__parquet=sink.getvalue()))


def test_quotation_marks_in_tabs_without_quoting_are_part_of_the_text(tmp_path: Path) -> None:
    """As MGSM is published: read with quotes, rows 1 to 3 would be one."""
    texts = ['"Wow', "so so", 'end"', 'said "x"']
    content = "text\tlabel\n" + "".join(f"{text}\tpositive\n" for text in texts)
    assert [fields for _, fields, _ in read(folder(tmp_path, de__tsv=content))] == [(text,) for text in texts]


NAMED = {
    "zh-CN.csv": "zh",
    "nb.csv": "no",
    "hin_Deva.csv": "hi",
    "DE.csv": "de",
    "fr.CSV": "fr",
    "es.csv.gz": "es",
    "Svenska.csv": "sv",
    "italiano.tsv": "it",
    "rus.csv": "ru",
    "swh_Latn.csv": "sw",
}


def test_a_file_may_be_named_in_any_spelling_of_its_language(tmp_path: Path) -> None:
    source = folder(tmp_path, **dict.fromkeys(NAMED, separated(",")))
    assert set(source.item_languages(open_task("sentiment"))) == set(NAMED.values())
    assert all(read(source, code) == EXPECTED for code in NAMED.values())


def test_files_that_are_not_read_are_named_once_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ignored = {
        "name no language here": ["br.csv", "notes.csv"],
        "a script that is not the language's usual one": ["de-Cyrl.csv", "ja-Latn.csv", "uzn_Arab.jsonl"],
        "one of the endings": ["fr.xlsx", "it.csv.bak"],
    }
    names = [name for group in ignored.values() for name in group]
    source = folder(tmp_path, **dict.fromkeys(["en.csv", ".DS_Store", "._en.csv", "README.md", *names], separated(",")))
    (tmp_path / "sentiment" / "items" / "nl").mkdir()
    for _ in range(2):
        assert source.item_languages(open_task("sentiment")) == ("en",)
        read(source, "en")
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 3
    for reason, group in ignored.items():
        expected = [*group, "nl"] if "fr.xlsx" in group else group
        assert any(reason in line and line.endswith(f": {', '.join(expected)}") for line in said), (reason, said)


@pytest.mark.parametrize("names", [("zh-CN.csv", "zho_Hans.csv"), ("nb.csv", "no.jsonl"), ("de.csv", "de.csv.gz")])
def test_two_files_of_one_language_are_refused_by_name(tmp_path: Path, names: tuple[str, str]) -> None:
    source = folder(tmp_path, **dict.fromkeys(names, separated(",")))
    (code,) = source.item_languages(open_task("sentiment"))
    with pytest.raises(
        SpilloverError, match=f"found both '{names[0]}' and '{names[1]}', expected one file per language"
    ):
        read(source, code)


@pytest.mark.parametrize("names", [("zh-TW.csv", "zho_Hant.csv"), ("de.csv", "de.csv.gz")])
def test_two_files_of_one_language_disturb_no_other(tmp_path: Path, names: tuple[str, str]) -> None:
    source = folder(tmp_path, **dict.fromkeys(["th.csv", *names], separated(",")))
    assert read(source, "th")
    (other,) = set(source.item_languages(open_task("sentiment"))) - {"th"}
    with pytest.raises(SpilloverError, match=f"found both '{names[0]}' and '{names[1]}'"):
        read(source, other)


def test_a_comma_in_the_header_does_not_hide_semicolons(tmp_path: Path) -> None:
    folder(tmp_path, de__csv="text;label, in English\ngut;positive\nschlecht, leider;negative\n")
    columns = Folder(str(tmp_path), {"label": "label, in English"})
    assert [fields for _, fields, _ in read(columns)] == [("gut",), ("schlecht, leider",)]


def test_the_separator_is_said_once_for_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path, **dict.fromkeys(["de.csv", "fr.csv", "en.csv"], separated(";")))
    for code in ("en", "de", "fr", "de"):
        read(source, code)
    assert capfd.readouterr().err.splitlines() == [
        f"{tmp_path}/sentiment/items: columns are separated by semicolons (first: en.csv)"
    ]


def test_the_published_layout_takes_other_spellings_too(tmp_path: Path) -> None:
    (tmp_path / "ap_emotion").mkdir()
    rows = json.dumps([{"input": "gut", "answer": "positive"}]).encode()
    for name in ("emotion_EN500_test.json", "emotion_zh-CN500_test.json.gz", "emotion_zho_Cyrl500_test.json"):
        (tmp_path / "ap_emotion" / name).write_bytes(rows)
    with gathering() as notes:
        assert Paper(str(tmp_path), {}).item_languages(open_task("sentiment")) == ("en", "zh")
    assert [note.rpartition(": ")[2] for note in notes.values()] == ["emotion_zho_Cyrl500_test.json"]


def test_a_broken_file_is_not_said_of_other_languages(tmp_path: Path) -> None:
    folder(tmp_path, **{"en.json": '{"a": 1}', "de.csv": "text,label\na,positive\n"})
    inputs = Inputs(parse_experiment({"evaluate": {"source": f"folder:{tmp_path}", "tasks": ["sentiment"]}}, "test"))
    readings = [reading.read(inputs, open_task("sentiment"), code) for code in ("en", "de")]
    assert all(items.faults for items in readings)  # labels are read of all languages together
    (defect,) = reading.summarized(fault for items in readings for fault in items.faults)
    assert defect.place.endswith("en.json")
    assert "so it is in" not in defect.message


@pytest.mark.parametrize("markers", [None, ("NS",)])
def test_a_file_is_read_once_however_many_languages_are_held_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, markers: tuple[str, ...] | None
) -> None:
    texts = {"en": "Nice.", "de": "Schön.", "fr": "Joli.", "es": "Bonito."}
    source = folder(tmp_path, **{f"{code}.csv": f"id,text,label\n1,{text},positive\n" for code, text in texts.items()})
    if markers is not None:
        source = source.leaving_out(markers)
    reads: list[str] = []
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    task = open_task("sentiment")
    for _ in range(2):
        assert [item.fields for code in texts for item in source.items(task, code)] == [
            (text,) for text in texts.values()
        ]
    assert sorted(reads) == sorted(f"{code}.csv" for code in texts)


def test_the_published_english_questions_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "ap_emotion"
    root.mkdir()
    (root / "emotion_en10k_train.json").write_text(json.dumps([{"input": "Nice.", "answer": "positive"}]), "utf-8")
    for code, text in (("de", "Schön."), ("zh", "好。")):
        row = {"input": f'Review: {text}\nSentiment: "', "answer": 'Review: Nice.\nSentiment: "'}
        (root / f"emotion_{code}10k_train_question.json").write_text(json.dumps([row]), "utf-8")
    reads: list[str] = []
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    source, task = Paper(str(tmp_path), {}), open_task("sentiment")
    assert [source.questions(task, code)[0].fields[0] for code in ("en", "de", "zh")] == ["Nice.", "Schön.", "好。"]
    assert len(reads) == len(set(reads)) == 3
