"""The work of `translate`: the questions as checked pairs with the pivot, and the characters that this costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, LanguageConfig
from spillover.records import Pair, PairFlag, Question, TranslationCost
from spillover.stages.inputs import Inputs
from spillover.stages.licenses import tell_restriction
from spillover.stages.quality import PairScore, flagged, pair_scores, unreadable
from spillover.store import Store, read_records, write_records
from spillover.translate import (
    REVISION,
    Translator,
    available_checks,
    check,
    count_flags,
    open_translator,
    pairs,
    without_flags,
)


@dataclass(frozen=True)
class TranslatedQuestions:
    """The questions paired with the pivot, and the quality of these pairs."""

    pairs: dict[str, list[Pair]]
    """Language to tune on → its pairs, checked and flagged; none is dropped yet."""
    scores: dict[str, list[PairScore]]
    """Language to tune on → the scores of quality estimation; empty where the experiment names no scorer."""
    unread: set[str] | None
    """The ids of questions that the engine's tokenizer cannot read; None if it cannot tell."""


def open_question_translator(store: Store, inputs: Inputs) -> Translator:
    """Open the translator that the experiment names. What it sends is logged."""
    chosen, log = inputs.experiment.translate, partial(store.log, "translated")
    tell_restriction(inputs.experiment)
    return open_translator(inputs.questions_in, chosen.translator, chosen.model, chosen.endpoint, chosen.budget, log)


def translate_questions(
    store: Store, experiment: Experiment, questions: list[Question], translator: Translator
) -> TranslatedQuestions:
    """Translate the questions into the languages to tune on; pair, check, score and flag them."""

    def questions_in(language: str) -> list[Question]:
        original = experiment.questions.language
        return questions if language == original else translator.translate(questions, language)

    chosen, pivot = experiment.translate, questions_in(experiment.mixture.pivot)
    checked = {
        code: checked_pairs(store, pairs(questions_in(code), pivot), code, experiment.languages) for code in chosen.to
    }
    scored = checked if chosen.quality else {}
    scores = {code: pair_scores(store, chosen, rows, code) for code, rows in scored.items()}
    unread = unreadable(translator, questions)
    marked = {code: flagged(chosen, rows, scores.get(code, ()), unread) for code, rows in checked.items()}
    return TranslatedQuestions(marked, scores, unread)


def unflagged_pairs(languages: Mapping[str, Sequence[Pair]], drop: Sequence[PairFlag]) -> list[Pair]:
    """Return the pairs of all languages without those that have a flag to drop; refuse if none is left."""
    rows = [pair for checked in languages.values() for pair in without_flags(checked, drop)]
    if not rows:
        raise SpilloverError(f"translate.drop: {list(drop)} leaves no pair to tune on")
    return rows


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
