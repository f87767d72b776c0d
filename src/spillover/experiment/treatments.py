"""Names of recipes: the mixture as the paper writes it, and a sentence about tuning on it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Treatment:
    """A recipe in words. `{to}`, `{pivot}` and other braces stand for keys of the experiment."""

    name: str
    """As the paper writes it, `{to}=>{pivot}`. A recipe tunes on the languages that its name mentions."""
    sentence: str
    """The words after `tuned on zh/de=>en:`."""
    teaches: bool = True
    """Whether it has pairs that tuning is to learn from."""
    control: bool = False
    """Whether its pairs are not meant to teach a translation."""


_FRAMED = "(frame: {frame})"


_ANSWERING = "answering annotated {task} questions, in the evaluation's own prompt without exemplars, in"


TREATMENTS = {
    "question-translation": Treatment(
        "{to}=>{pivot}", f"translating questions, without their answers, from {{sources}} into {{target}} {_FRAMED}"
    ),
    "reverse": Treatment(
        "{pivot}=>{to}", f"translating questions, without their answers, from {{target}} into {{sources}} {_FRAMED}"
    ),
    "both": Treatment(
        "{to}<=>{pivot}",
        f"translating questions, without their answers, between {{sources}} and {{target}}, both ways {_FRAMED}",
    ),
    "shuffled-pairs": Treatment(
        "{to}=>{pivot} (shuffled)",
        f"a control: questions in {{sources}}, each followed by another question in {{target}} {_FRAMED}",
        control=True,
    ),
    "copy": Treatment(
        "{pivot}=>{pivot} (copied)", f"a control: copying questions in {{target}} {_FRAMED}", control=True
    ),
    "unrelated": Treatment(
        "{to}=>{pivot} (unrelated)",
        "a control: translating questions of {unrelated}, as many target tokens, from {sources} into {target} "
        f"{_FRAMED}",
    ),
    "annotated-english": Treatment("{original} (annotated)", f"{_ANSWERING} {{original_name}}", teaches=False),
    "annotated-multilingual": Treatment(
        "{original}/{to} (annotated)",
        f"{_ANSWERING} {{original_name}} and translated into {{sources}}",
        teaches=False,
    ),
    "annotated-pivot": Treatment("{pivot} (annotated)", f"{_ANSWERING} {{target}}", teaches=False),
    "two-stage": Treatment(
        "{to}=>{pivot}, then {original} (annotated)",
        "first translating questions, without their answers, from {sources} into {target} "
        f"{_FRAMED}, then {_ANSWERING} {{original_name}}",
    ),
    "replay": Treatment("replay", "repeating other texts, against forgetting", teaches=False),
    "code-switch": Treatment(
        "{to}+{pivot}=>{pivot}",
        f"writing questions in {{target}} from a copy with words in {{sources}}, without their answers {_FRAMED}",
    ),
    "contrastive": Treatment(
        "{to}~{pivot}", f"bringing together the states of questions in {{sources}} and in {{target}} {_FRAMED}"
    ),
    "translate-then-answer": Treatment(
        "{to}=>{pivot} and answer",
        "translating annotated {task} questions from {sources} into {target}, then answering them",
    ),
}
"""Recipe → its words."""

CONTROLS = {"none": "", "shuffled-pairs": " (shuffled)", "copy": " (copied)"}
"""Control of a part → the words after its name and its sentence."""

CUSTOM_TREATMENT = Treatment(
    "{to}=>{pivot} ({recipe})", f"a recipe of one's own on questions in {{sources}} and {{target}} {_FRAMED}"
)
"""The words for a user's own recipe."""


def treatment_of(phases: Sequence[Sequence[tuple[str, float, str]]]) -> Treatment:
    """Return the words for phases, each a list of parts: recipe, weight, control."""
    names, sentences = [], []
    for parts in phases:
        words = [(treatment(recipe), weight, CONTROLS[control]) for recipe, weight, control in parts]
        alike = len({weight for _, weight, _ in words}) == 1
        names.append(" + ".join(f"{'' if alike else f'{weight:g}·'}{each.name}{end}" for each, weight, end in words))
        sentences.append(", together with ".join(f"{each.sentence}{end}" for each, _, end in words))
    controls = [
        treatment(recipe).control or control != "none"
        for parts in phases
        for recipe, _, control in parts
        if treatment(recipe).teaches
    ]
    name, sentence = ", then ".join(names), "; then ".join(sentences)
    return Treatment(name, sentence, teaches=bool(controls), control=bool(controls) and all(controls))


def treatment(recipe: str) -> Treatment:
    """Return the words for a recipe of `TREATMENTS`, or for a user's own."""
    return TREATMENTS.get(recipe, CUSTOM_TREATMENT)
