"""Each check accuses what it should and lets go what it should; what was accused drops out only where asked."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from spillover.records import Pair, PairFlag
from spillover.store import read_records, write_records
from spillover.translate import available_checks, check, count_flags, without_flags
from spillover.translate.checks import CHECKS, collapsed, odd_lengths, repeats
from spillover.translate.numerals import numbers
from spillover.utils.text import identifies

needs_lingua = pytest.mark.skipif(not identifies(), reason="lingua is not installed")

GERMAN = (
    ("Der Zug kam um 17 Uhr an.", "The train arrived at 17."),
    ("Sie sagte: »Nein, danke.«", 'She said: "No, thanks."'),
    ("Oben.\nUnten bleibt es trocken.", "Above.\nBelow it stays dry."),
    ("Schreib an @lena oder <b>ruf an</b>.", "Write to @lena or <b>call</b>."),
    ("Die Suppe war kalt und teuer.", "The soup was cold and expensive."),
    ("The Lord", "The Lord"),
)


def pair(source: str | Sequence[str], target: str | Sequence[str], id: str = "0", language: str = "de") -> Pair:
    texts, translations = ((text,) if isinstance(text, str) else tuple(text) for text in (source, target))
    return Pair("quiz", id, language, "en", texts, translations)


def flags_of(source: str | Sequence[str], target: str | Sequence[str]) -> set[PairFlag]:
    return set(next(check([pair(source, target)])).flags)


@pytest.mark.parametrize("texts", GERMAN, ids=lambda texts: texts[1][:12])
def test_a_sound_pair_has_no_flag(texts: tuple[str, str]) -> None:
    assert flags_of(*texts) == set()


FAULTS: dict[str, tuple[PairFlag, str | Sequence[str], str | Sequence[str]]] = {
    "untranslated": ("copy", "The soup  was COLD and expensive.", "The soup was cold and expensive."),
    "one field untranslated": ("copy", ["Ein Hund schläft.", "A dog is awake."], ["A dog sleeps.", "A dog is awake."]),
    "a word over and over": ("repetition", "Die Suppe war sehr sehr sehr sehr kalt.", "The soup was very cold."),
    "words over and over": ("repetition", "Mbwa " + "wa rangi ya " * 5 + "rangi.", "A light brown dog."),
    "characters over and over": ("repetition", "好的" * 6 + "。", "Well, that is fine then."),
    "a number lost": ("digits", "Der Zug kam an.", "The train arrived at 17."),
    "a number changed": ("digits", "Es kostet 1.005 Euro.", "It costs 1,050 euros."),
    "one of two the same lost": ("digits", "Von 15 blieben alle.", "Of 15, 15 stayed."),
    "a tag lost": ("markers", "Bitte <b>ruf an.", "Please <b>call</b>."),
    "a place holder translated": ("markers", "Hallo {Name}!", "Hello {name}!"),
    "an address lost": ("markers", "Siehe dort.", "See https://example.org/a?b=1"),
    "quotation marks lost": ("quotes", "Sie sagte Nein.", 'She said "No".'),
    "a line break lost": ("lines", "Oben. Unten.", "Above.\nBelow."),
    "fields that fell together": ("collapse", ["Er ging.", "Er  GING."], ["He went.", "He walked."]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_flagged_as_what_it_is(fault: str) -> None:
    flag, source, target = FAULTS[fault]
    assert flag in flags_of(source, target)
    assert flag not in flags_of(target, target) or flag == "copy"


SOUND = {
    "digits of another script": ("१७ लोग", "17 people"),
    "full width": ("２０人来了", "20 people came"),
    "other separators": ("12.500,75 kr og 10 000", "12,500.75 kr and 10,000"),
    "a small number in words": ("Zwei Hunde", "2 dogs"),
    "a laugh": ("哈哈哈哈哈哈哈", "Hahaha!"),
    "repeated in the original too": ("sehr sehr sehr sehr gut", "very very very very good"),
    "Chinese quotation marks": ("她说：「不」。", 'She said: "no".'),
    "the original collapses too": (["Er ging.", "Er ging."], ["He went.", "he went."]),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_only_looks_wrong_is_let_go(case: str) -> None:
    assert flags_of(*SOUND[case]) == set()


def test_two_questions_that_fall_together_are_both_flagged() -> None:
    targets = ["He went.", "He walked.", "She left.", "he  went."]
    sources = ["Er ging.", "Er ging.", "Sie ging.", "Er ging."]
    found = [pair(*texts, id=str(place)) for place, texts in enumerate(zip(sources, targets, strict=True))]
    assert collapsed(found) == {0, 1}
    assert collapsed(found[2:]) == set()


def brute_force_repeats(text: str) -> int:
    """Count back-to-back copies of every n-gram by trying every place."""
    words, most = text.casefold().split(), 1
    for n in range(1, 9):
        for start in range(len(words)):
            unit, copies = words[start : start + n], 1
            while len(unit) == n and words[start + copies * n : start + (copies + 1) * n] == unit:
                copies += 1
            most = max(most, copies)
    return most


def off_by_one(text: str) -> int:
    """The broken twin: forgets the first copy."""
    return max(1, repeats(text) - 1)


@pytest.mark.parametrize(("count", "agrees"), [(repeats, True), (off_by_one, False)], ids=["ours", "broken twin"])
def test_repeats_is_what_trying_every_place_finds(count: Callable[[str], int], agrees: bool) -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices("ab" if n % 2 else "abcd", k=draw.randrange(1, 30))) for n in range(300)]
    pairs = [(count(text), brute_force_repeats(text)) for text in texts]
    # fewer copies than make a repetition may be called one
    assert all(own == true for own, true in pairs if true >= 4) == agrees
    assert sum(true >= 4 for _, true in pairs) > 50


def values(text: str) -> list[frozenset[Fraction]]:
    return [number.values for number in numbers(text)]


def test_numbers_are_the_same_in_every_script_and_style() -> None:
    assert values("1,234,567 and 3.5") == values("1.234.567 und 3,5") == values("१२३४५६७ और ३.५")
    assert values("1 234 567") == values("12,34,567") == values("1234567") == [{1234567}]
    assert values("in 2019, 120 people") == [{2019}, {120}]


def lengths(ratios: Sequence[float]) -> list[Pair]:
    return [pair("x" * round(100 * ratio), "y" * 100, id=str(place)) for place, ratio in enumerate(ratios)]


def test_odd_lengths_are_odd_for_their_batch_and_in_any_order() -> None:
    draw = random.Random(0)
    usual = [draw.uniform(0.28, 0.42) for _ in range(60)]  # Chinese against English
    ratios = [*usual, 0.1, 1.2, *usual]
    found = odd_lengths(lengths(ratios))
    assert found == {60, 61}
    order = list(range(len(ratios)))
    draw.shuffle(order)
    assert {order[place] for place in odd_lengths(lengths([ratios[place] for place in order]))} == found
    assert odd_lengths(lengths([3 * ratio for ratio in ratios])) == found  # a language that needs three times the room
    assert odd_lengths(lengths([0.3, 3.0, 0.3])) == set()  # too few to say what is usual


@needs_lingua
@pytest.mark.parametrize(
    ("language", "text", "accused"),
    [
        ("de", "Die Suppe war kalt, und der Kellner vergaß unsere Getränke.", False),
        ("de", "La sopa estaba fría y el camarero se olvidó de nuestras bebidas.", True),
        ("no", "Suppen var kald, og servitøren glemte drikkevarene våre.", False),
        ("ms", "Sup itu sejuk dan pelayan terlupa minuman kami malam tadi.", False),
        ("zh", "汤是凉的，服务员忘了我们点的饮料。", False),
        ("zh", "スープは冷めていて、店員は飲み物を忘れていました。", True),
        ("de", "Nokia 3310", False),
        ("sw", "The soup arrived cold and the waiter forgot our drinks.", True),
    ],
)
def test_another_language_is_flagged_beyond_doubt_only(language: str, text: str, accused: bool) -> None:
    (found,) = check([pair(text, "The soup was cold, and the waiter forgot our drinks.", language=language)])
    assert ("language" in found.flags) == accused


def test_without_lingua_everything_else_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillover.translate.checks.identifies", lambda: False)
    assert set(available_checks()) == set(CHECKS) - {"language"}
    spanish = "La sopa estaba fría y el camarero se olvidó de nuestras bebidas 17."
    assert next(check([pair(spanish, "The soup was cold 18.")])).flags == ("digits",)


def test_flags_are_counted_and_drop_only_what_is_named() -> None:
    found = list(check([pair("Der Hund schläft.", "A dog of 17 sleeps.")] + [pair(*texts) for texts in GERMAN]))
    assert without_flags(found, []) == found
    assert without_flags(found, ["copy"]) == found
    assert without_flags(found, ["digits", "copy"]) == found[1:]
    counted = count_flags(found, ["digits"])
    assert (counted.language, counted.pairs, counted.dropped) == ("de", 7, 1)
    assert dict(counted.flags) == dict.fromkeys(available_checks(), 0) | {"digits": 1}


def test_checking_again_changes_nothing_and_files_keep_the_flags(tmp_path: Path) -> None:
    found = list(check([pair("Der Hund schläft.", "A dog of 17 sleeps."), pair(*GERMAN[0], id="1")]))
    assert list(check(found)) == found
    assert list(check([replace(found[0], flags=("copy",))])) == found[:1]
    for rows in (found, found[1:]):
        write_records(tmp_path / "pairs.parquet", Pair, rows)
        assert read_records(tmp_path / "pairs.parquet", Pair) == rows
