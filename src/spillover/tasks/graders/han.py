"""Numbers in Chinese characters: `三十五`, `二〇二四`, `两千`, and digits with a unit behind them, `3万5千`."""

from fractions import Fraction

import regex

DIGITS = {
    character: value
    for value, characters in enumerate(
        ("〇零", "一壹壱", "二贰貳弐两兩", "三叁參参", "四肆", "五伍", "六陆陸", "七柒", "八捌", "九玖")
    )
    for character in characters
}
"""Character → digit, the forms of cheques included."""

TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
"""Character → what it multiplies the digit before it by."""

MYRIADS = {"万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
"""Character → what it multiplies everything before it by, back to a larger one."""

KOREAN = {"천": 1000, "만": 10**4, "억": 10**8}
"""Korean character behind digits → what it multiplies them by."""

UNITS = {**TENS, **MYRIADS, **KOREAN}
LARGE = frozenset(MYRIADS) | {"만", "억"}

UNIT = rf"(?:千(?![克米瓦卡焦赫帕伏安])|兆(?![瓦赫])|[{''.join(UNITS.keys() - set('千兆'))}])"
"""A unit behind digits. `千克` is a kilogram and `兆瓦` a megawatt."""

WORD = regex.compile("一[共起样樣定般些直切旦方]|[统統唯同]一|第[一二三四五六七八九十]+|三角|四方")
"""Words that hold a numeral and state no number, and the numbers of steps."""

DIGIT, ANY = (f"[{''.join(characters)}]" for characters in (DIGITS, {**DIGITS, **TENS, **MYRIADS}))
NUMERAL = regex.compile(rf"{ANY}+(?:[点點]{DIGIT}+)?")
FRACTION = regex.compile(rf"(?P<below>{ANY}+)分[之の](?P<above>{NUMERAL.pattern})")
"""`四分之三`, three of four parts."""

BLANK = r"(?:(?<=억)\s(?=[0-9][0-9,]*+(?!\s?[억조]))|(?<=만)\s(?=[0-9][0-9,]*+(?!\s?[만억조])))?"
"""Korean parts a number behind its large units: `3만 5천`, `1억 2000만`. `1만 2만` are two numbers."""

MIXED = (
    rf"(?:[0-9]++(?:[.,][0-9]++){{0,5}}+{UNIT}+{BLANK})++"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?![.,]?[0-9]))?"
)
"""Digits and units in turn, nothing between them but Korean's blanks."""

PART = regex.compile(rf"([0-9]+(?:[.,][0-9]+)*)({UNIT}*)")


def han_value(numeral: str) -> Fraction:
    """Return the value of a numeral in Chinese characters that matches `NUMERAL`.

    Without units the characters are digits in their places: 二〇二四 is 2024.
    """
    whole, point, decimals = regex.sub("點", "点", numeral).partition("点")
    value = Fraction(_whole(whole))
    if point:
        value += Fraction(int("".join(str(DIGITS[digit]) for digit in decimals)), 10 ** len(decimals))
    return value


def _whole(numeral: str) -> int:
    if not set(numeral) & {*TENS, *MYRIADS}:
        return int("".join(str(DIGITS[character]) for character in numeral))
    total, section, digit = 0, 0, 0
    for character in numeral:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character in TENS:
            section += (digit or 1) * TENS[character]
            digit = 0
        else:
            unit = MYRIADS[character]
            section += digit
            # 一万亿: a larger unit multiplies everything so far
            total = (total + section) * unit if 0 < total < unit else total + (section or 1) * unit
            section = digit = 0
    return total + section + digit


def mixed_value(numeral: str) -> Fraction:
    """Return the value of digits with units that match `MIXED`: 1亿2000万 is 120 million, 3万5千 is 35 thousand."""
    total = section = Fraction(0)
    for match in PART.finditer(numeral):
        value = Fraction(match[1].replace(",", ""))
        for unit in match[2]:
            value *= UNITS[unit]
        section += value
        if LARGE & set(match[2]):
            total, section = total + section, Fraction(0)
    return total + section
