"""The work of `translate`: the questions as checked pairs with the pivot, and the characters that this costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from spillover.experiment import LanguageConfig
from spillover.records import Pair, Question, TranslationCost
from spillover.store import Store, read_records, write_records
from spillover.translate import REVISION, Translator, available_checks, check, count_flags


def checked_pairs(store: Store, rows: Sequence[Pair], code: str, languages: Mapping[str, LanguageConfig]) -> list[Pair]:
    """Return one language's pairs with their flags, checked first if that was not done before.

    Args:
        store: holds the checked pairs.
        rows: the pairs, without flags.
        code: their language.
        languages: the languages that the experiment brings. Texts may be identified as one of them.
    """
    name = f"{code}.parquet"

    def write(folder: Path) -> None:
        checked = list(check(rows))
        store.log("checked", language=code, pairs=len(checked), flags=dict(count_flags(checked, ()).flags))
        write_records(folder / name, Pair, checked)

    inputs = [rows, available_checks(), REVISION, *languages.items()]
    artifact = store.get_or_make("pairs", inputs, f"pairs/{name}", write)
    return read_records(artifact.path / name, Pair)


def translation_costs(
    store: Store, translator: Translator, questions: Sequence[Question], codes: Iterable[str]
) -> Iterator[TranslationCost]:
    """Yield per language the characters still to be sent to the translator, and those sent before by the log."""
    log = store.logged("translated")
    for code in codes:
        lines = [line for line in log if line["language"] == code]
        sent, seconds = (sum(line[key] for line in lines) for key in ("characters", "seconds"))
        yield TranslationCost(code, *translator.characters(questions, code), sent, seconds)
