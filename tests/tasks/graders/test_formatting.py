"""Formatting alone never changes a grade: digits of another script, widths, blanks, thousands marks, markup."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from time import process_time

import pytest
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.languages import languages
from spillover.plugins import GRADERS, resolve
from spillover.records import Grade
from spillover.tasks.graders import grade_text
from spillover.tasks.graders.letter import ALPHABETS
from spillover.tasks.graders.number import number
from spillover.tasks.graders.words import ARTICLES, ATTACHED, ELIDED, exact, f1

LANGUAGES = (*languages(), "ar", "fa", "pt", "ko", "tr")
SCRIPTS = (
    "DIGIT",
    "FULLWIDTH DIGIT",
    "ARABIC-INDIC DIGIT",
    "EXTENDED ARABIC-INDIC DIGIT",
    "DEVANAGARI DIGIT",
    "BENGALI DIGIT",
    "THAI DIGIT",
    "MYANMAR DIGIT",
    "MATHEMATICAL BOLD DIGIT",
)
NAMES = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


def digits_of(script: str) -> Callable[[str], str]:
    table = {ord(str(digit)): unicodedata.lookup(f"{script} {name}") for digit, name in enumerate(NAMES)}
    return lambda text: text.translate(table)


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


WRAPPERS: dict[str, Callable[[str], str]] = {
    "nothing": str,
    "blanks": lambda text: f"  {text}\u3000\n",
    "bold": lambda text: f"**{text}**",
    "bold underlined": lambda text: f"__{text}__",
    "code": lambda text: f"`{text}`",
    "boxed": lambda text: f"\\boxed{{{text}}}",
    "boxed text": lambda text: f"\\(\\boxed{{\\text{{{text}}}}}\\)",
    "a tag": lambda text: f"<b>{text}</b>",
    "marks of direction": lambda text: f"\u200f{text}\u200e\ufeff",
}
wrappers = st.sampled_from(list(WRAPPERS.values()))
scripts = st.sampled_from(SCRIPTS).map(digits_of)
codes = st.sampled_from(LANGUAGES)
decimals = st.decimals(-(10**9), 10**9, allow_nan=False, places=3) | st.integers(-(10**12), 10**12).map(Decimal)


def written(value: Decimal, language: str, grouped: bool) -> str:
    """Write a number as CLDR does, with or without thousands marks."""
    return str(format_decimal(value, locale=language, decimal_quantization=False, group_separator=grouped))


def misread(
    grader: Callable[..., Grade],
    value: Decimal,
    language: str,
    script: Callable[[str], str],
    wrap: Callable[[str], str],
) -> bool:
    gold = (written(value, language, False),)
    text = wrap(script(written(value, language, True)))
    other = (written(value + 1, language, False),)
    return grader(text, gold, language).score != 1 or grader(text, other, language).score > 0


@settings(deadline=None, max_examples=400)
@given(decimals, codes, scripts, wrappers)
def test_a_number_as_cldr_writes_it(
    value: Decimal, language: str, script: Callable[[str], str], wrap: Callable[[str], str]
) -> None:
    assert not misread(number, value, language, script, wrap)


def by_ascii(text: str, golds: tuple[str, ...], language: str) -> Grade:
    """A twin that reads what most evaluations read."""
    matches = [float(match.replace(",", "")) for match in re.findall(r"-?[0-9][0-9,]*(?:\.[0-9]+)?", text)]
    expected = [float(match) for match in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", golds[0])]
    return Grade(float(bool(matches) and matches[-1:] == expected[-1:]), bool(matches))


@pytest.mark.parametrize(
    ("value", "language", "script"), [(1234, "bn", "BENGALI DIGIT"), (1234, "de", "DIGIT"), (1234, "fr", "DIGIT")]
)
def test_a_twin_that_knows_ascii_alone_misreads(value: int, language: str, script: str) -> None:
    assert misread(by_ascii, Decimal(value), language, digits_of(script), str)
    assert not misread(number, Decimal(value), language, digits_of(script), str)
    assert not misread(by_ascii, Decimal(value % 7), "en", str, str)


@settings(deadline=None)
@given(st.integers(0, 10**8), st.sampled_from(("zh", "ja")))
def test_a_number_in_chinese_characters(value: int, language: str) -> None:
    assert number(in_characters(value), (str(value),), language) == Grade(1.0)
    assert number(in_characters(value), (str(value + 1),), language) == Grade(0.0)


def in_characters(value: int) -> str:
    """Write a number below 10^12 in Chinese characters, with 零 for gaps: the textbook's recursion."""
    if value >= 10**8:
        return in_characters(value // 10**8) + "亿" + rest(value % 10**8, 10**7)
    if value >= 10**4:
        return in_characters(value // 10**4) + "万" + rest(value % 10**4, 10**3)
    for unit, character in ((1000, "千"), (100, "百"), (10, "十")):
        if value >= unit:
            return "零一二三四五六七八九"[value // unit] + character + rest(value % unit, unit // 10)
    return "零一二三四五六七八九"[value]


def rest(value: int, least: int) -> str:
    return "" if not value else "零" * (value < least) + in_characters(value)


ANSWERS = {
    "en": "the 12 tall towers of Paris",
    "de": "der Rhein, 350 km",
    "fr": "l’eau et les 3 Alpes",
    "ru": "в Москве 1971 года",
    "zh": "北京2008年",
    "ja": "東京タワー 333 メートル",
    "th": "กรุงเทพ 24 ชั่วโมง",
    "hi": "नई दिल्ली में 5 लोग",
    "bn": "ঢাকা শহর ১৯৭১",
    "ar": "القاهرة 1952",
}


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["exact", "f1", "contains", "chrf"]),
    st.sampled_from(sorted(ANSWERS)),
    st.sampled_from(sorted(ANSWERS)),
    scripts,
    st.booleans(),
    wrappers,
)
def test_a_text(
    name: str, language: str, other: str, script: Callable[[str], str], width: bool, wrap: Callable[[str], str]
) -> None:
    """Also of a wrong answer: the gold is perhaps another language's."""
    grader = resolve(GRADERS, name, "grader")
    text = script(ANSWERS[language])
    text = wrap((wide(text) if width else text).replace(" ", "  "))
    golds = (ANSWERS[other],)
    assert grader(text, golds, language) == grader(ANSWERS[language], golds, language)
    assert (language == other) == (grader(text, golds, language).score == 1)


def test_a_twin_that_leaves_markup_changes_grades() -> None:
    def bare(text: str, golds: tuple[str, ...], language: str) -> Grade:
        return Grade(float(text.strip().lower() == golds[0].lower()))

    changed = {name for name, wrap in WRAPPERS.items() if bare(wrap("Paris"), ("Paris",), "en").score != 1}
    assert changed == set(WRAPPERS) - {"nothing", "blanks"}
    assert all(exact(wrap("Paris"), ("Paris",), "en").score == 1 for wrap in WRAPPERS.values())


FORMS = (
    "{}",
    "({})",
    "{})",
    "{}.",
    "Answer: {}",
    "Answer: {})",
    "答案：{}",
    "「{}」",
    "[{}]",
    "{}\nbecause",
    "**Answer:** {}",
)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(ALPHABETS[:-2]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(FORMS),
    st.sampled_from([wrap for name, wrap in WRAPPERS.items() if name != "boxed"]),
    st.booleans(),
)
def test_a_letter(
    alphabet: tuple[str, ...], choice: int, gold: int, form: str, wrap: Callable[[str], str], width: bool
) -> None:
    text = wrap(form.format(alphabet[0][choice]))
    grader = resolve(GRADERS, "letter", "grader")
    grade = grader(wide(text) if width and "\\" not in text and "<" not in text else text, (alphabet[0][gold],), "en")
    assert grade == Grade(float(choice == gold))


def mlqa(text: str, language: str) -> list[str]:
    """Normalize as MLQA describes it (Lewis et al. 2020): lower case, punctuation, articles, mixed segmentation."""
    marks = set(string.punctuation)
    letters = [c for c in text.lower() if c not in marks and not unicodedata.category(c).startswith("P")]
    words: list[str] = []
    for word in re.sub(rf"\b({ARTICLES.get(language, '(?!)')})\b", " ", "".join(letters)).split():
        words += re.findall("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+", word) if language == "zh" else [word]
    return words


PIECES = [
    "the",
    "a",
    "der",
    "ein",
    "la",
    "los",
    "Rhein",
    "House",
    "U.S.",
    "3,5",
    "--",
    "“ok”",
    "北京",
    "año",
    "दिल्ली",
    "của",
    "bàn",
]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(" ".join)


@settings(deadline=None, max_examples=300)
@given(texts, texts, st.sampled_from(["en", "es", "de", "vi", "hi", "zh"]))
def test_mlqa_grades_the_same(text: str, gold: str, language: str) -> None:
    if language != "zh":  # ours parts Chinese characters in every language
        text, gold = text.replace("北京", "x"), gold.replace("北京", "x")
    words, golds = mlqa(text, language), mlqa(gold, language)
    if not words or not golds:
        return  # SQuAD calls an answer of articles alone empty, and two empty answers the same
    common = sum((Counter(words) & Counter(golds)).values())
    assert exact(text, (gold,), language).score == (words == golds)
    assert f1(text, (gold,), language).score == pytest.approx(2 * common / (len(words) + len(golds)))


def test_every_article_is_an_article() -> None:
    for language, articles in ARTICLES.items():
        for article in articles.split("|"):
            word = "كتاب" if language in ATTACHED else "xyz"
            text = f"ال{word}" if language in ATTACHED else f"{article} {word}"
            assert exact(text, (word,), language).score == 1, (language, article)
    for language, text in {"fr": "l’xyz", "it": "un'xyz", "ca": "l'xyz", "nl": "'t xyz"}.items():
        assert language in ELIDED
        assert exact(text, ("xyz",), language).score == 1, language


ENDLESS = [
    part * 20_000
    for part in (
        "1",
        "1,",
        "1 ",
        "1/",
        "1万",
        "1'234",
        "0.",
        "-",
        "一",
        "**",
        "a",
        "<a",
        "(",
        "*a",
        "\n",
        "A) ",
        "\\frac{",
    )
]
ENDLESS += ["\\boxed{" * 5_000, "9e99", "1e-99 × 10^99", "1/0", "0/0", "分之", "百分之", "点"]


@pytest.mark.slow
@pytest.mark.parametrize("name", GRADERS)
@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: text[:8].strip() or "lines")
def test_a_model_that_does_not_stop_is_graded_at_once(name: str, text: str) -> None:
    grader, start = resolve(GRADERS, name, "grader"), process_time()
    grade = grade_text(grader, text, ("18", "B"), "zh", "answer")
    assert 0 <= grade.score <= 1
    assert process_time() - start < 5


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.text(max_size=20),
    st.sampled_from(list(GRADERS)),
    codes,
    st.sampled_from(["", "1", ":", "a b"]),
)
def test_any_text_has_a_grade(text: str, gold: str, name: str, language: str, conclusion: str) -> None:
    grade = grade_text(resolve(GRADERS, name, "grader"), text, (gold,), language, conclusion)
    assert 0 <= grade.score <= 1
    assert grade.readable or grade.score == 0


def test_equal_numbers_have_equal_values() -> None:
    values = ("0.75", "3/4", "¾", "75%", ".750", "0.75e0", r"\frac{3}{4}", "四分之三")
    for one in values:
        for other in values:
            assert number(one, (other,), "en").score == 1, (one, other)
    assert Fraction(3, 4) != Fraction("0.751")
