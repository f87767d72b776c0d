"""Invented findings: twenty languages, three tasks, numbers that look like a run's but are drawn from a seed."""

import shutil
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from math import exp, nan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from spillover.experiment import Experiment
from spillover.languages import get_language, languages
from spillover.records import (
    ArmMetrics,
    ChoiceGain,
    ChoiceMetrics,
    Comparison,
    Curve,
    Data,
    Defect,
    Estimate,
    Findings,
    FirstPrompt,
    Forgetting,
    Gain,
    GroupGain,
    Internals,
    ItemScores,
    LanguageNeurons,
    LearnedPart,
    LensSummary,
    MachineTranslated,
    NextStep,
    PairAlignment,
    PairChecks,
    Patch,
    Provenance,
    RetrievalGain,
    StageCost,
    Summary,
    Trajectory,
    Translation,
    TranslationCost,
    TranslationGain,
    TreatmentCheck,
    Tuning,
    Verdict,
)
from spillover.report.run import Content, render
from spillover.sources import open_source
from spillover.tasks import open_labeled_task

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

TUNED_ON = ("zh", "de")
LABELS = {"sentiment": 2, "entailment": 3, "paraphrase": 2}
GAINS = {"sentiment": 0.08, "entailment": 0.03, "paraphrase": 0.002}
DEFECTS = (
    Defect("error", "swap", "'yes' and 'no' are swapped", "items/th.jsonl: line 2", "th", 12.5),
    Defect("warning", "imbalance", "always answering 'yes' is right in 80.0% of 60 items"),
)
CHECKED = (
    PairChecks("zh", 200, 3, (("copy", 3), ("collapse", 1))),
    PairChecks("de", 190, 0, (("copy", 0), ("collapse", 2))),
)
FIRST_TOKENS = ("<bos>", "Review", ": ", "ดี\n")
FIRST_PROMPTS = tuple(
    FirstPrompt(arm, "sentiment", "th", "s1", (2, 17, 4, 9), FIRST_TOKENS) for arm in ("base", "tuned")
)
LAYERS = 19
ITEMS = 600


def estimate(value: float, reach: float, n: int = ITEMS) -> Estimate:
    return Estimate(value, value - reach, value + reach, n)


def verdict_of(difference: Estimate) -> Verdict:
    if max(-difference.low, difference.high) <= 0.02:
        return "equivalent"
    if difference.low > 0:
        return "improved"
    if difference.high < 0:
        return "harmed"
    return "inconclusive"


def performance(accuracy: float, labels: int) -> ArmMetrics:
    rest = [0.4 / (labels - 1)] * (labels - 1)
    choices = ChoiceMetrics(estimate(accuracy + 0.02, 0.04), estimate(0.9, 0.02), (0.6, *rest), 1, 2)
    return ArmMetrics(estimate(accuracy, 0.04), choices)


def gain(task: str, code: str, base: float, tuned: float) -> Gain:
    labels = LABELS[task]
    difference = estimate(tuned - base, 0.015 + 0.05 * (1 - base))
    group: Literal["pivot", "tuned", "unseen"] = "pivot" if code == "en" else "tuned" if code in TUNED_ON else "unseen"
    fixed = round(ITEMS * max(0.0, tuned - base)) + 11
    return Gain(
        task=task,
        language=code,
        group=group,
        n=ITEMS,
        reference=performance(base, labels),
        arm=performance(tuned, labels),
        difference=difference,
        fixed=fixed,
        broken=fixed - round(ITEMS * (tuned - base)),
        p=0.0123,
        p_adjusted=0.2468,
        minimum_detectable=0.031,
        choices=ChoiceGain(
            chance=1 / labels,
            gold=(1 / labels,) * labels,
            discrimination=None if task == "paraphrase" else estimate(0.7 * (tuned - base), 0.02),
            label_prior=None if task == "paraphrase" else estimate(0.3 * (tuned - base), 0.02),
            margin=estimate(4 * (tuned - base), 0.3),
            margin_detectable=0.41,
        ),
        reasons=(),
        answer_language=None,
        language_harm=False,
        verdict=verdict_of(difference),
        possible_harm=difference.high < 0,
    )


def summary(task: str, gains: list[Gain]) -> Summary:
    def mean(group: str) -> Estimate:
        return estimate(float(np.mean([g.difference.value for g in gains if g.group == group])), 0.011)

    worst = min(gains, key=lambda g: g.difference.value)
    unseen = mean("unseen")
    value, low, high = (100 * part for part in (unseen.value, unseen.low, unseen.high))
    verdict = verdict_of(unseen)
    members = [g for g in gains if g.group == "unseen"]
    splits = [
        GroupGain("tier", tier, codes, estimate(unseen.value + shift, 0.015))
        for tier, shift in (("high", -0.02), ("low", 0.02))
        for codes in [tuple(g.language for g in members if get_language(g.language).tier == tier)]
    ]
    return Summary(
        task=task,
        n=ITEMS,
        reference_score=estimate(float(np.mean([g.reference.score.value for g in gains])), 0.02),
        arm_score=estimate(float(np.mean([g.arm.score.value for g in gains])), 0.02),
        unseen=unseen,
        unseen_general=estimate(unseen.value, 0.024, len(members)),
        tuned=mean("tuned"),
        overall=estimate(float(np.mean([g.difference.value for g in gains])), 0.01),
        pivot=mean("pivot"),
        worst_language=worst.language,
        worst=worst.difference,
        discrimination=None if task == "paraphrase" else estimate(0.7 * unseen.value, 0.01),
        label_prior=None if task == "paraphrase" else estimate(0.3 * unseen.value, 0.01),
        reasons=(),
        minimum_detectable=0.017,
        margin=estimate(4 * unseen.value, 0.2),
        margin_detectable=0.28,
        per_character=None,
        per_byte=None,
        by_property=tuple(splits),
        verdict=verdict,
        sentence=f"{task}: {verdict} over {len(members)} languages not tuned on, {value:+.1f} points "
        f"(95% interval {low:+.1f} to {high:+.1f}).",
    )


def curve(values: np.ndarray, reach: float = 0.02) -> Curve:
    return Curve(*(tuple(part.tolist()) for part in (values, values - reach, values + reach)))


def trajectories(task: str) -> list[Trajectory]:
    depth = np.arange(LAYERS) / (LAYERS - 1)
    return [
        Trajectory(
            arm=arm,
            task=task,
            language=code,
            lens="logit",
            english=curve(told * top * np.exp(-(((depth - 0.8) / 0.18) ** 2))),
            native=curve(told * 0.5 * top * depth**6),
            all_english=curve(0.9 * top * depth),
            all_native=curve(0.8 * top * depth**3),
            entropy=curve(14 - 11 * depth**2 - top, 0.5),
            energy=curve(0.2 + depth),
            english_rank=curve(10 ** (4 - 3 * depth)),
            native_rank=curve(10 ** (4 - 4 * depth)),
            items=100,
            distinguishable=0 if code == "th" else 100,
        )
        for place, code in enumerate(languages())
        for told in [nan if code == "th" else 1]
        for arm, top in (("base", 0.5 - 0.015 * place), ("tuned", 0.65 - 0.01 * place))
    ]


def forgetting(code: str, place: int) -> Forgetting:
    difference = estimate(0.02 - 0.003 * place, 0.01)
    bits = estimate(1.1, 0.1), estimate(1.1 + difference.value, 0.1)
    return Forgetting("base", "tuned", code, 60, 9000, *bits, difference)


PARTS = (
    LearnedPart(0, "question-translation", 300, 600, 300, 15_000),
    LearnedPart(0, "replay", 50, 200, 50, 9_000),
    LearnedPart(1, "contrastive (copy)", 380, 380, 380, 0),
)


def treatment() -> TreatmentCheck:
    changes = (estimate(37, 2, 100), 21.0, estimate(27, 3, 100), estimate(30, 1, 100))
    translations = tuple(
        TranslationGain(code, pairs, 11.0, 48.0, *changes, 2.5, 1.2, estimate(-1.3, 0.1, 100))
        for code, pairs in (("", 200), ("zh", 100), ("de", 100))
    )
    found = tuple(RetrievalGain(code, 20, 0.1, 0.85, estimate(0.75, 0.1, 20)) for code in ("", "de"))
    return TreatmentCheck(True, "The treatment took: chrF 11.0 → 48.0.", translations, found)


HOSTILE_ITEM = "</script><img src=x onerror=alert(1)> {{ 7*7 }}"


def sheets() -> list[ItemScores]:
    """The starter's first items in twenty languages, so in every script; one Thai item is hostile."""
    found: list[ItemScores] = []
    for name in ("sentiment", "entailment"):
        task, source = open_labeled_task(name), open_source("starter", {}, "test")
        for code in languages():
            items = source.items(task, code)[:24]
            texts = [item.fields for item in items]
            if code == "th":
                texts[1] = (HOSTILE_ITEM,) * len(texts[1])
            random = np.random.default_rng(len(found))
            base, tuned = (-random.exponential(3, size=(24, len(task.labels))) for _ in range(2))
            ids, gold = [item.id for item in items], [item.gold for item in items]
            scores = tuple(tuple(map(tuple, arm.tolist())) for arm in (base, tuned))
            labels, columns = tuple(task.labels), (tuple(ids), tuple(texts), tuple(gold))
            found.append(ItemScores(name, code, labels, *columns, ("base", "tuned"), scores))
    return found


def latents(task: str) -> list[LensSummary]:
    values: dict[Literal["english", "crossover_depth", "share"], tuple[float, float | None]] = {
        "english": (0.21, 0.24),
        "crossover_depth": (0.9, None),
        "share": (0.6, 0.7),
    }
    return [
        LensSummary(
            reference="base",
            arm="tuned",
            task=task,
            language=code,
            lens="logit",
            measure=measure,
            reference_value=None if code == "th" else estimate(base, 0.03, 100),
            arm_value=None if code == "th" or tuned is None else estimate(tuned, 0.03, 100),
            difference=None if code == "th" or tuned is None else estimate(tuned - base, 0.02, 100),
        )
        for code in languages()
        for measure, (base, tuned) in values.items()
    ]


def neurons(task: str) -> list[LanguageNeurons]:
    return [
        LanguageNeurons(arm, task, code, layer, specific * (place + 1), 5, 2043 - specific * (place + 1))
        for arm, specific in (("base", 3), ("tuned", 2))
        for layer in range(1, LAYERS)
        for place, code in enumerate(("", *languages()))
    ]


def patches(task: str) -> list[Patch]:
    depth = np.arange(LAYERS) / (LAYERS - 1)
    others = [code for code in languages() if code != "en"]
    pairs = [*((code, "en") for code in others), *(("en", code) for code in others)]
    return [
        Patch(arm, task, source, target, tuple((size * (depth - 0.3) * (1 - place / 50)).tolist()), 2)
        for arm, size in (("base", -4), ("tuned", -3))
        for place, (source, target) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def findings() -> Findings:
    random = np.random.default_rng(0)
    gains: list[Gain] = []
    for task, size in GAINS.items():
        for place, code in enumerate(languages()):
            base = 0.9 - 0.018 * place + random.normal(0, 0.01)
            lift = size * (0.5 + 0.08 * place) + random.normal(0, 0.008)
            gains.append(gain(task, code, base, 0.43 if (task, code) == ("sentiment", "th") else base + lift))
    comparison = Comparison(
        reference="base",
        arm="tuned",
        gains=tuple(gains),
        summaries=tuple(summary(task, [g for g in gains if g.task == task]) for task in GAINS),
        margin=0.02,
        correction="holm",
        sentence="Over languages not tuned on: improved in sentiment (+8.0 points).",
    )
    return Findings(
        name="demo",
        setup=Experiment().setup,
        comparisons=(comparison,),
        internals=Internals(
            trajectories=tuple(t for task in GAINS for t in trajectories(task)),
            lens_summaries=tuple(found for task in GAINS for found in latents(task)),
            neurons=tuple(found for task in GAINS for found in neurons(task)),
            patches=tuple(found for task in GAINS for found in patches(task)),
        ),
        tuning=Tuning(
            losses=tuple(1.1 + 1.4 * exp(-step / 60) + random.normal(0, 0.05) for step in range(450)),
            validation=(2.48, 1.35, 1.19, 1.17),
            examples=2400,
            left_out=3,
            target_tokens=8562,
            chrf=(11.04, 47.96),
            translations=tuple(
                Translation(str(place), "de", "Gut.\n", "Good.\n", "Gut. Gut.", f"Good {place}.") for place in range(40)
            ),
            parts=PARTS,
            alignments=(PairAlignment("de", "cka", 20, 0.2, 0.01, 0.7, 0.02),),
        ),
        treatment=treatment(),
        costs=(
            StageCost("questions", 0.4, 0),
            StageCost("adapter", 131.9, 3_200_000_000),
            StageCost("predictions", 412.5, 2_900_000_000),
        ),
        data=Data(DEFECTS, "", CHECKED, ()),
        translation_costs=(TranslationCost("zh", 0, 12_345, 4_000, 17.5), TranslationCost("de", 0, 23_456, 0, 0)),
        provenance=Provenance(
            facts=(("python", "3.11.2"), ("torch", "2.13.0"), ("processor", "Some CPU")),
            experiment='seed = 0\n\n[model]\nname = "gemma-3-270m"\n\n[translate]\nto = ["zh", "de"]\n',
        ),
        forgetting=tuple(forgetting(code, place) for place, code in enumerate(languages())),
        item_scores=tuple(sheets()),
        first_prompts=FIRST_PROMPTS,
        next_steps=(
            NextStep("longer", "Tune longer: the loss still falls.", "run experiment.toml --set tune.epochs=N"),
            NextStep("power", "paraphrase: 600 more items would show a gain of 1.0 points.", ""),
        ),
    )


def with_texts(findings: Findings, text: str) -> Findings:
    """Put a text into every free text of the findings of one task."""
    (comparison,) = findings.comparisons
    task = f"sentiment{text}"
    return replace(
        findings,
        name=f"run {text}",
        setup=replace(findings.setup, model=text, treatment=text),
        comparisons=(
            replace(
                comparison,
                gains=tuple(replace(g, task=task) for g in comparison.gains if g.task == "sentiment"),
                summaries=(replace(comparison.summaries[0], task=task, sentence=text),),
                sentence=text,
            ),
        ),
        internals=Internals(
            **{
                part: tuple(
                    replace(found, task=task, **({"lens": text} if hasattr(found, "lens") else {}))
                    for found in getattr(findings.internals, part)
                    if found.task == "sentiment"
                )
                for part in Internals.__slots__
            }
        ),
        data=replace(
            findings.data,
            defects=tuple(replace(one, message=text, place=text) for one in findings.data.defects),
            overlap=text,
            translated=(MachineTranslated(task, "th", text),),
        ),
        provenance=Provenance(((text, text),), text),
        item_scores=tuple(replace(s, task=task, labels=(text, *s.labels[1:])) for s in findings.item_scores[:20]),
        tuning=replace(
            findings.tuning,
            translations=(Translation(text, "de", text, text, text, text),),
            parts=(replace(PARTS[0], name=text),),
        ),
        treatment=replace(treatment(), sentence=text),
        next_steps=(NextStep("longer", text, text),),
    )


@pytest.fixture(scope="session")
def tables_and_page() -> Callable[[Findings], dict[str, Content]]:
    """Return a function that renders a report, once, without its pictures, which take most of the time."""
    rendered: dict[int, tuple[Findings, dict[str, Content]]] = {}  # by identity: findings with arrays have no hash

    def made(findings: Findings) -> dict[str, Content]:
        if id(findings) not in rendered:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("spillover.report.run.pictures", lambda *_: {})
                rendered[id(findings)] = findings, render(findings)
        return dict(rendered[id(findings)][1])

    return made


@pytest.fixture(scope="session")
def undirected() -> Callable[[str], list[str]]:
    """Return a function: a page → its texts of right-to-left letters that no element gives a direction of their own."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[tuple[str, bool]] = []
            self.texts: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "input", "br"):
                self.open.append((tag, ("dir", "auto") in attrs))

        def handle_endtag(self, tag: str) -> None:
            while self.open and self.open.pop()[0] != tag:
                pass

        def handle_data(self, data: str) -> None:
            tags = {tag for tag, _ in self.open}
            right_to_left = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in data)
            if right_to_left and not tags & {"script", "style", "title"} and not any(auto for _, auto in self.open):
                self.texts.append(data)

    def texts(page: str) -> list[str]:
        reader = Reader()
        reader.feed(page)
        return reader.texts

    return texts


@pytest.fixture(scope="session")
def from_the_right(findings: Findings) -> Findings:
    """Findings whose every free text runs from right to left."""
    return with_texts(findings, "المنتج ممتاز / המוצר מצוין / معیار بہت اچھا ہے")


@pytest.fixture(scope="session")
def hostile(findings: Findings) -> Findings:
    """Findings whose every free text tries to be markup, script, template, LaTeX or Markdown."""
    return with_texts(findings, "</script><img src=x onerror=alert(1)>\"'|&_{{ 7*7 }}")


@pytest.fixture(scope="session")
def tame(findings: Findings) -> Findings:
    """The same with a harmless text."""
    return with_texts(findings, "harmless")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: "Browser", tmp_path: Path) -> Iterator[Callable[..., "Page"]]:
    """Open a report's page alone, without the files beside it; at the end nothing may have gone wrong."""
    wrong: list[str] = []

    def open_page(made: dict[str, Content], width: int = 1440, mode: Literal["light", "dark"] = "light") -> "Page":
        place = tmp_path / "index.html"
        place.write_text(str(made["index.html"]), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda r: wrong.append(f"request: {r.url}") if r.url != place.as_uri() else None)
        page.goto(place.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=60_000)
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert wrong == []
