"""Languages that an experiment brings: from questions to a tuned model, and told wherever languages are told."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path

import pytest
import tomli_w

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, dump_experiment, load_experiment, parse_experiment
from spillover.languages import (
    get_language,
    in_paper_order,
    known_languages,
    languages,
    lookup,
    other_script,
    similar_languages,
)
from spillover.records import Example, Pair
from spillover.store import read_records
from spillover.translate import available_checks
from spillover.utils.text import foreign, identifies

MODES = subprocess.run(["apertium", "-l"], capture_output=True, text=True).stdout if shutil.which("apertium") else ""
CATALAN = {"name": "Catalan", "script": "Latin", "family": "Romance", "tier": "high", "iso639_3": "cat", "lingua": "ca"}
KNOWN = {"The room was clean.": "L'habitació era neta.", "The soup was cold.": "La sopa era freda."}
ITEMS = {"en": ("Lovely food.", "Never again."), "ca": ("Un menjar excel·lent.", "No hi tornaré mai.")}


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What these tests translate lands nowhere."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


class Phrases:
    """An engine that knows two sentences."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        assert (source, target) == ("en", "ca")
        return [KNOWN[text] for text in texts]


def row(name: str, answer: str, labels: list[str], shots: list[list[str]]) -> dict[str, object]:
    return {"fields": [name], "answer": answer, "labels": labels, "exemplars": shots}


def write_experiment(folder: Path, model: Path, engine: str) -> Path:
    """Write somebody's questions, items and task with a row for Catalan, and the experiment."""
    task = {
        "name": "reviews",
        "fields": ["text"],
        "labels": ["good", "bad"],
        "agnostic": ["ox", "horse"],
        "exemplar_labels": ["good", "bad"],
        "rows": {
            "en": row("Review", "Verdict", ["good", "bad"], [["I liked it."], ["I did not."]]),
            "ca": row("Ressenya", "Veredicte", ["bo", "dolent"], [["M'ha agradat."], ["No m'ha agradat."]]),
        },
    }
    (folder / "reviews.toml").write_text(tomli_w.dumps(task), encoding="utf-8")
    rows = {"questions/en": [{"id": str(n), "text": text} for n, text in enumerate(KNOWN)]}
    for code, texts in ITEMS.items():
        rows[f"items/{code}"] = [{"id": str(n), "text": t, "label": ("good", "bad")[n]} for n, t in enumerate(texts)]
    for name, lines in rows.items():
        path = folder / "mine" / "reviews" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    table = {
        "model": {"name": str(model), "dtype": "float32"},
        "questions": {"source": f"folder:{folder / 'mine'}", "task": str(folder / "reviews.toml")},
        "translate": {"to": ["ca"], "with": engine},
        "tune": {"epochs": 1, "translations": 0},
        "evaluate": {"tasks": [str(folder / "reviews.toml")]},
        "analyze": {"limit": 0, "texts": 0},
        "languages": {"ca": CATALAN},
    }
    file = folder / "catalan.toml"
    file.write_text(tomli_w.dumps(table), encoding="utf-8")
    return file


def ran(call: Call, file: Path) -> Path:
    runs = file.parent / "runs"
    ended = call("run", file, "--runs", runs)
    assert ended.status == 0, ended.err
    return runs / "catalan"


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_from_questions_to_a_tuned_model_and_its_report(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "my_engine", sys.modules[__name__])
    run = ran(call, write_experiment(tmp_path, tiny("llama"), "my_engine:Phrases"))
    examples = read_records(run / "examples.parquet", Example)
    assert {(example.source, example.target) for example in examples} == {
        (f"{catalan}\n", english) for english, catalan in KNOWN.items()
    }
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
    assert {path.stem for path in (run / "predictions/tuned/reviews").iterdir()} == {"en", "ca"}
    page = (run / "report" / "index.html").read_text("utf-8")
    assert "Catalan" in page
    assert "ca=&gt;en" in page
    assert "ca" not in languages(), "nothing outlives the run"
    with load_experiment(run / "experiment.toml").registered():
        assert get_language("ca").autonym == "Catalan"


@pytest.mark.usefixtures("one_thread", "without_pictures")
@pytest.mark.skipif(
    "eng-cat" not in MODES,
    reason="apertium or its mode eng-cat is not installed: apt install apertium apertium-eng-cat",
)
def test_apertium_translates_into_it(call: Call, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    run = ran(call, write_experiment(tmp_path, tiny("llama"), "apertium"))
    found = read_records(run / "pairs" / "ca.parquet", Pair)
    assert [pair.target[0] for pair in found] == list(KNOWN)
    assert ["sopa" in pair.source[0] for pair in found] == [False, True]
    assert (run / "adapter" / "adapter_model.safetensors").is_file()


def bringing(code: str = "ca", **row: str) -> Experiment:
    table = {"languages": {code: CATALAN | row}}
    return parse_experiment(json.loads(json.dumps(table)), "e.toml")


def test_it_comes_after_the_others_with_what_other_tools_call_it() -> None:
    before = list(languages())
    with bringing(nllb="cat_Latn").registered():
        assert list(languages()) == [*before, "ca"]
        assert in_paper_order(["am", "ca", "sw", "en"]) == ("en", "sw", "ca", "am")
        known = get_language("ca")
    assert (known.nllb, known.iso639_3, known.google, known.lingua) == ("cat_Latn", "cat", "ca", "ca")


def test_experiments_with_different_rows_for_one_code_live_side_by_side() -> None:
    """Building an experiment changes nothing in the process, and its words are those of its own rows."""
    table = {"translate": {"to": ["ca"]}}
    catalan, valencian = (
        parse_experiment(table | {"languages": {"ca": CATALAN | {"name": name}}}, "e.toml")
        for name in ("Catalan", "Valencian")
    )
    assert "ca" not in languages()
    assert "from Catalan into English" in catalan.treatment
    assert "from Valencian into English" in valencian.treatment
    with catalan.registered(), valencian.registered():
        assert get_language("ca").name == "Valencian"
    with ThreadPoolExecutor(1) as pool, catalan.registered():
        assert pool.submit(copy_context().run, get_language, "ca").result().name == "Catalan"
    assert "ca" not in languages()


def test_an_experiment_with_a_language_reads_back() -> None:
    experiment = parse_experiment({"translate": {"to": ["ca"]}, "languages": {"ca": CATALAN}}, "e.toml")
    assert experiment.mixture_name == "ca=>en"
    assert "from Catalan into English" in experiment.treatment
    assert parse_experiment(tomllib.loads(dump_experiment(experiment)), "again") == experiment


@pytest.mark.parametrize(
    ("code", "row", "message"),
    [
        ("de", {}, r"e.toml: languages.de: found Catalan, expected a code that German does not have"),
        ("CA", {}, r"languages.CA.*found 'CA', expected: string should match pattern"),
        ("ca", {"tier": "middle"}, r"languages.ca.tier: found 'middle', expected: 'high' or 'low'"),
        ("ca", {"nlb": "cat_Latn"}, r"unknown key 'languages.ca.nlb'; did you mean 'nllb'\?"),
    ],
)
def test_what_is_wrong_with_a_row_is_one_sentence(code: str, row: dict[str, str], message: str) -> None:
    with pytest.raises(SpilloverError, match=message):
        bringing(code, **row)
    assert len(languages()) == 20


def test_a_language_that_nobody_knows_is_unknown() -> None:
    sentence = r"translate.to: found 'br', expected a language code.*choose from en, .*spillover languages --like TEXT"
    with pytest.raises(SpilloverError, match=sentence):
        parse_experiment({"translate": {"to": ["br"]}}, "e.toml")


@pytest.mark.skipif(not identifies(), reason="lingua is not installed")
def test_texts_are_identified_among_it_where_lingua_has_it() -> None:
    texts = ["No hi tornaré mai més, perquè el menjar era fred i el cambrer ens va tractar malament.", "Hi ha 3."]
    english = ["I will never come back, because the food was cold and the waiter treated us badly."]
    with bringing().registered():
        assert foreign([*texts, *english], "ca") == {2: "en"}
        assert foreign(texts, "en") == {0: "ca"}
    with bringing("ast", lingua="", name="Asturian").registered():
        assert foreign(english, "ast") == {}, "nothing is claimed of a language that lingua does not know"
    with (
        bringing("xx", lingua="xx", name="Nonsense").registered(),
        pytest.raises(SpilloverError, match=r"languages.xx.lingua: found 'xx', expected a code that lingua has"),
    ):
        foreign(english, "ca")
    assert "language" in available_checks()


SPELLINGS = {
    "zh": "zh ZH zh-CN zh_cn zh-Hans zho_Hans ZHO_HANS zh-Hans-CN zh-SG zho chi cmn_Hans Chinese 中文",
    "de": "de DE de-AT de_CH deu ger deu_Latn Deutsch DEUTSCH german",
    "fr": "fr fra fre fra_latn fr-CA français francais",
    "es": "es spa es-419 es-MX español",
    "ms": "ms msa may zsm zsm_Latn ms-MY",
    "sw": "sw swa swh swh_Latn Kiswahili",
    "hi": "hi hin hin_Deva hi-IN hi_deva",
    "bn": "bn ben ben_Beng bn-BD Bangla",
    "ja": "ja jpn jpn_Jpan ja-JP jp JA_JP",
    "sl": "sl slv Slovenian Slovene",
    "is": "is isl ice",
    "zh-Hant": "zh-TW zh-HK zh-Hant zho_Hant cmn_hant Chinese_(Traditional)",
    "hi-Latn": "hi-Latn hin_Latn HIN_LATN hin_latn",
    "bn-Latn": "ben_latn bn_Latn",
    "ar": "ar arb ara arb_Arab AR_XY Arabic",
    "fa": "fa fas per pes_Arab Persian",
    "prs": "prs prs_Arab Dari",
    "tw": "tw twi twi_Latn",
    "ak": "ak aka aka_Latn",
    "sq": "sq sqi alb als_Latn Albanian",
    "sr": "sr srp srp_Cyrl",
    "sr-Latn": "srp_Latn sr-Latn",
    "sat": "sat sat_Beng sat_Olck",
    "tl": "tl fil tgl tgl_Latn Filipino",
    "mk": "mk North_Macedonian",
    "et": "et est est_Latn ekk_latn",
    "ff": "ff ful fuv_Latn",
    "no": "no nb nob nor nob_Latn nb-NO norsk Bokmål bokmal",
    "nn": "nn nno_Latn",
}

NONE_OF_OURS = {
    "another script": "de-Cyrl hi-Arab zh-Latn ms-Arab ms-CC ja-Latn en-Shaw uk_Latn",
    "another language": "br oss tlh gsw_Latn",
    "no language": "cn xx test data train englisch 12 - _ en-",
    "more than a language": "en-dev en_test de-new de_v2 en-x-pirate en-fonipa srp_cyrl_torl",
}


@pytest.mark.parametrize("code", SPELLINGS)
def test_a_language_is_known_by_its_usual_spellings(code: str) -> None:
    assert {written: lookup(written) for written in SPELLINGS[code].split()} == dict.fromkeys(
        SPELLINGS[code].split(), code
    )


def test_every_language_is_known_by_each_code_and_name_of_its_row() -> None:
    for code, row in known_languages().items():
        base = code.partition("-")[0]
        names = (code, row.name, row.autonym, row.nllb, row.nllb.lower(), row.bcp47, row.google, *row.other_names)
        assert {lookup(each) for each in (*names, *row.spellings, row.lingua) if each} == {code}
        assert lookup(row.iso639_3) == base, "a code without a script is the language in its usual one"


@pytest.mark.parametrize("kind", NONE_OF_OURS)
def test_what_names_none_of_ours_is_none(kind: str) -> None:
    assert {written: lookup(written) for written in NONE_OF_OURS[kind].split() if lookup(written)} == {}


def test_another_script_of_a_language_is_told_from_another_language() -> None:
    bases = {
        written: (row := other_script(written)) and row.code for written in ("hin_Arab", "de-Cyrl", "hi", "yue", "x")
    }
    assert bases == {"hin_Arab": "hi", "de-Cyrl": "de", "hi": None, "yue": None, "x": None}


def test_a_language_that_an_experiment_brings_is_known_by_its_codes_too() -> None:
    rows = [
        CATALAN,
        {"code": "he", "name": "Hebrew", "script": "Hebrew", "iso639_3": "heb", "lingua": ""},
        {"code": "sr", "name": "Serbian", "script": "Latin", "iso639_3": "srp", "lingua": ""},
        {
            "code": "zht",
            "name": "Traditional Chinese",
            "script": "Han",
            "nllb": "zho_Hant",
            "google": "zh-TW",
            "iso639_3": "zht",
        },
    ]
    spellings = {"cat_Latn": "ca", "ca-ES": "ca", "iw": "he", "heb_Hebr": "he", "sr-Latn": "sr", "srp_Cyrl": None}
    spellings |= {"zh-TW": "zht", "zho_Hant": "zht", "zh-HK": "zht", "zho": "zh", "zh-CN": "zh"}
    with ExitStack() as stack:
        for row in rows:
            stack.enter_context(bringing(**{"lingua": ""} | row).registered())
        assert {written: lookup(written) for written in spellings} == spellings


def test_the_table_is_flores_200_with_the_paper_first() -> None:
    """NLLB's tokenizer has 202 of FLORES-200's 204 languages and scripts; the paper's twenty stay what `all` means."""
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    rows = known_languages()
    tags = [row.nllb for row in rows.values() if row.nllb]
    assert len(set(tags)) == len(tags) == 204
    assert set(tags) - set(FAIRSEQ_LANGUAGE_CODES) == {"arb_Latn", "min_Arab"}
    assert " ".join(languages()) == "en zh de fr es it nl ja ru sv sl pl bg no ms is hi th sw bn"
    assert list(rows)[:20] == list(languages())


def test_codes_agree_with_iso_639_3() -> None:
    """An independent table, that of CLDR's aliases in `langcodes`, takes each ISO 639-3 code for the row's language."""
    import langcodes

    exceptions = {"prs", "tw", "ps", "qu", "ff"}  # CLDR has them under Persian and Akan, or not under the macrolanguage
    for code, row in known_languages().items():
        language = code.partition("-")[0]
        if language not in exceptions:
            expected = langcodes.Language.get(row.iso639_3).prefer_macrolanguage().language
            assert {language, row.iso639_3} & {expected, "tl", "dik", "no"}, code


def test_another_script_is_a_language_of_its_own_with_the_branch_of_its_base() -> None:
    for code, row in known_languages().items():
        if "-" in code:
            base = get_language(code.partition("-")[0])
            assert (row.family, row.iso639_3, row.bcp47) == (base.family, base.iso639_3, code)
            assert row.script != base.script


def test_joshi_classes_are_those_of_the_paper() -> None:
    """The classes that Joshi et al. name languages for: the winners, and some of each other class."""
    classes = {code: row.joshi for code, row in known_languages().items()}
    winners = {code for code, number in classes.items() if number == 5}
    assert winners == {"ar", "de", "en", "es", "fr", "ja", "zh", "zh-Hant"}
    some = {"hi": 4, "vi": 4, "id": 3, "uk": 3, "zu": 2, "lo": 2, "yo": 2, "bho": 1, "kab": 1}
    assert {code: classes[code] for code in some} == some


def test_languages_like_another_are_its_branch_those_in_its_script_first() -> None:
    found = similar_languages("ukr_Cyrl")
    assert found[0].code == "uk"
    assert {row.family for row in found} == {"Slavic"}
    scripts = [row.script for row in found]
    assert scripts == sorted(scripts, key=lambda script: script != "Cyrillic")
    assert {row.code for row in similar_languages("kurd")} == {"ku", "ckb"}
    assert {row.family for row in similar_languages("bantu")} == {"Bantu"}
    assert len(similar_languages("")) == len(known_languages())
    assert similar_languages("no such language") == []


def test_a_brought_row_takes_the_place_of_a_known_one() -> None:
    with bringing("uk", name="Ukrainian of mine", lingua="").registered():
        assert get_language("uk").name == "Ukrainian of mine"
        assert list(languages())[-1] == "uk"
        assert lookup("ukr") is None, "the row says nothing of it"
    assert get_language("uk").name == "Ukrainian"
