"""The grader `letter`: right if the answer chooses the gold option, in whatever alphabet the options are lettered."""

from functools import cache
from typing import NamedTuple

import regex

from spillover.records import Grade
from spillover.tasks.graders.markup import concluding_part, plain


class Alphabet(NamedTuple):
    """The letters of options in one script."""

    letters: str
    """In their order, upper case."""
    script: str
    """Characters that make a letter part of a word, as a class of the module `regex`."""
    others: str = ""
    """Letters of the script that stand for an option of another one."""


ALPHABETS = (
    Alphabet("ABCDEFGHIJ", r"\p{Latin}\p{M}0-9'’"),
    Alphabet("АБВГДЕЖЗИК", r"\p{Cyrillic}\p{M}0-9", "С"),
    Alphabet("ΑΒΓΔΕΖΗΘΙΚ", r"\p{Greek}\p{M}0-9'’"),
    Alphabet("أبجدهوزحطي", r"\p{Arabic}\p{M}", "ا"),
    Alphabet("אבגדהוזחטי", r"\p{Hebrew}\p{M}"),
    Alphabet("कखगघङचछजझञ", r"\p{Devanagari}"),
    Alphabet("কখগঘঙচছজঝঞ", r"\p{Bengali}"),
    Alphabet("กขคงจฉชซฌญ", r"\p{Thai}"),
    Alphabet("アイウエオカキクケコ", r"\p{Katakana}ー"),
    Alphabet("가나다라마바사아자차", r"\p{Hangul}"),
    Alphabet("ᲐᲑᲒᲓᲔᲕᲖᲗᲘᲙ", r"\p{Georgian}"),
    Alphabet("ԱԲԳԴԵԶԷԸԹԺ", r"\p{Armenian}"),
    Alphabet("કખગઘચછજઝટઠ", r"\p{Gujarati}"),
    Alphabet("அஆஇஈஉஊஎஏஐஒ", r"\p{Tamil}"),
    Alphabet("កខគឃងចឆជឈញ", r"\p{Khmer}"),
    Alphabet("ሀለሐመሠረሰሸቀበ", r"\p{Ethiopic}"),
    Alphabet("①②③④⑤⑥⑦⑧⑨⑩", ""),
    Alphabet("123456789", r"\w.,"),
)
"""The alphabets that letter options. Digits count only where nothing else stands."""

CIRCLED = str.maketrans(
    "ⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙ🅐🅑🅒🅓🅔🅕🅖🅗🅘🅙🅰🅱❶❷❸❹❺❻❼❽❾❿",
    "ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB①②③④⑤⑥⑦⑧⑨⑩",
)
"""Letters and digits in circles and boxes → the letter, the usual circle."""

LOOK_ALIKES = {"A": dict(zip("АВСЕ", "ABCE", strict=True)), "А": dict(zip("ABE", "АВЕ", strict=True)), "أ": {"ا": "أ"}}
"""First letter of the gold's alphabet → letters that look like one of that alphabet → that letter."""

ALEF = regex.compile(r"(?<![\p{Arabic}\p{M}]|\p{N}\s?)الف(?![\p{Arabic}\p{M}])")
"""The name of the first letter, which Persian and Urdu write for it. Behind a number it can be a thousand."""

WORDS = frozenset("AEAАВИКІאوأ가나다사자차마")
"""Letters that are also words: articles, conjunctions, prepositions, pronouns."""

OPEN, CLOSE = r"[(\[{\"'「『【《“„«*]*", r"[)\]}.:、。」』】》”»;|]"
COPULA = "입니다|이다|이에요|예요|번"
"""What Korean writes together with the letter before it."""

SENTENCE_START = regex.compile(r"(?:^|[.!?:。！？।\n])[\s\"'(«„“]*$")
WORD_FOLLOWS = regex.compile(r"[^\S\n]+\p{L}")


def letter(text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Return 1 if the letter that a text chooses is a gold one, else 0; unreadable if it chooses none.

    A letter of another alphabet than the gold's stands for the one that it looks like, else for the one at its place:
    where A to D are the options, Cyrillic В is B and Г is D.
    """
    choice = chosen_letter(text, conclusion)
    if choice is None:
        return Grade(0.0, readable=False)
    options = map(chosen_letter, golds)
    return Grade(float(any(option is not None and _same(choice, option) for option in options)))


def chosen_letter(text: str, conclusion: str = "") -> str | None:
    """Return the letter that a text chooses, upper case; None if it chooses none.

    In this order: the first letter behind `conclusion`; the letter that the text begins with, `B)`; the last letter
    behind a colon; the last letter in parentheses or alone. `A` is no choice where it begins a sentence and a word
    follows.
    """
    marked = concluding_part(text, conclusion)
    if marked:
        part = _usual(marked)
        for pattern in (_opening(), _single(), _alone()):
            for match in pattern.finditer(part):
                if not _is_pronoun(match, part):
                    return str(match["letter"]).upper()
    bare = _usual(plain(text).strip())
    for pattern in (_opening(), _single(), _behind_colon(), _alone()):
        letters = [str(match["letter"]).upper() for match in pattern.finditer(bare) if not _is_word(match, bare)]
        if letters:
            return letters[-1]
    return None


def _usual(text: str) -> str:
    """Return a text with the usual form of the letters of options."""
    return str(ALEF.sub("أ", text.translate(CIRCLED)))


def _is_pronoun(match: "regex.Match[str]", text: str) -> bool:
    return match["letter"] == "I" and WORD_FOLLOWS.match(text, match.end("letter")) is not None


def _is_word(match: "regex.Match[str]", text: str) -> bool:
    """Whether a letter is a word of its sentence: `A train leaves`, `В доме`, `I think`."""
    if _is_pronoun(match, text):
        return True
    start, end = match.span("letter")
    begins = match["letter"] in WORDS and SENTENCE_START.search(text, max(0, start - 9), start)
    return bool(begins and WORD_FOLLOWS.match(text, end))


@cache
def _letter(lower: bool) -> str:
    """Return a pattern of one letter of an option that is no part of a word, as the group `letter`."""
    parts = []
    for letters, script, others in ALPHABETS[:-1]:
        every = letters + others + (letters + others).lower() * lower
        border = (f"(?<![{script}])", f"(?:(?![{script}])|(?={COPULA}))") if script else ("", "")
        parts.append(f"{border[0]}[{''.join(dict.fromkeys(every))}]{border[1]}")
    return f"(?P<letter>{'|'.join(parts)})"


@cache
def _opening() -> "regex.Pattern[str]":
    return regex.compile(rf"\A{OPEN}{_letter(True)}(?:'|׳)?\s?(?:{CLOSE}|\Z|\n)")


@cache
def _single() -> "regex.Pattern[str]":
    return regex.compile(r"\A[(\[]?(?P<letter>[1-9])[)\].。]*\Z")


@cache
def _behind_colon() -> "regex.Pattern[str]":
    return regex.compile(rf":\s*{OPEN}{_letter(True)}(?:'|׳)?\s?(?:{CLOSE}|,|\Z|\n)")


@cache
def _alone() -> "regex.Pattern[str]":
    return regex.compile(rf"(?<=[(\[]){_letter(True)}(?=[)\]])|{_letter(True)}(?=\))|{_letter(False)}")


def _same(choice: str, option: str) -> bool:
    """Whether a letter chooses an option that is lettered `option`."""
    letters = next(alphabet.letters for alphabet in ALPHABETS if option in alphabet.letters)
    if choice in letters:
        return choice == option
    alike = LOOK_ALIKES.get(letters[0], {}).get(choice)
    if alike is not None:
        return alike == option
    places = [alphabet.letters.index(choice) for alphabet in ALPHABETS if choice in alphabet.letters]
    return letters.index(option) in places
