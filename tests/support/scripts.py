"""The letters of the scripts that tests of texts look for."""

LETTER_NAMES = {
    "Latin": ("LATIN",),
    "Cyrillic": ("CYRILLIC",),
    "Devanagari": ("DEVANAGARI",),
    "Bengali": ("BENGALI",),
    "Thai": ("THAI",),
    "Han": ("CJK",),
    "Japanese": ("CJK", "HIRAGANA", "KATAKANA"),
}
"""Script of `languages.toml` → how the Unicode names of its letters begin."""
