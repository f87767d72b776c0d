"""What flows through the stages and what is computed from it, as frozen records without behavior.

One module per subject: data, scoring, estimates, comparison, interpretability, tuning, data quality, one run, several
runs, results of other tools, transfer, suggestion. A record says what a number means, with its unit. It does not say
how the number is computed or shown.
"""

from spillover.records.comparison import (
    FALSE_ALARM_RATE,
    AnswerMetrics,
    ArmMetrics,
    ChoiceGain,
    ChoiceMetrics,
    Comparison,
    Gain,
    GroupGain,
    ItemAnswers,
    ItemScores,
    ReasonPart,
    Summary,
    Verdict,
)
from spillover.records.data import (
    Example,
    Item,
    LabeledQuestion,
    Pair,
    PairFlag,
    PartPlan,
    PhasePlan,
    Question,
)
from spillover.records.estimates import CONFIDENCE, Curve, Estimate
from spillover.records.interpretability import (
    AffineLens,
    Alignment,
    Array,
    Geometry,
    Internals,
    LanguageNeurons,
    LensSummary,
    Patch,
    Trajectory,
)
from spillover.records.outcomes import REASONS, Answer, Completion, Grade, LanguageCheck, Outcome, Reason
from spillover.records.quality import Data, Defect, MachineTranslated, PairChecks, PairQuality, Severity
from spillover.records.run import Findings, FirstPrompt, License, Provenance, Setup, StageCost, TranslationCost
from spillover.records.runs import FinishedRun, PairedComparison, RecipeResult, RunComparison, TaskResult
from spillover.records.samples import Sample
from spillover.records.scoring import Cell, ChatStyle, Prediction, Prompt, Result, TextNLL
from spillover.records.suggestion import Candidate, CrossValidation, Suggestion
from spillover.records.transfer import BestMixture, ExperimentStatus, MixtureGains, SweepFindings, TransferMatrix
from spillover.records.tuning import Forgetting, LearnedPart, Translation, Tuning

__all__ = [
    "CONFIDENCE",
    "FALSE_ALARM_RATE",
    "REASONS",
    "AffineLens",
    "Alignment",
    "Answer",
    "AnswerMetrics",
    "ArmMetrics",
    "Array",
    "BestMixture",
    "Candidate",
    "Cell",
    "ChatStyle",
    "ChoiceGain",
    "ChoiceMetrics",
    "Comparison",
    "Completion",
    "CrossValidation",
    "Curve",
    "Data",
    "Defect",
    "Estimate",
    "Example",
    "ExperimentStatus",
    "Findings",
    "FinishedRun",
    "FirstPrompt",
    "Forgetting",
    "Gain",
    "Geometry",
    "Grade",
    "GroupGain",
    "Internals",
    "Item",
    "ItemAnswers",
    "ItemScores",
    "LabeledQuestion",
    "LanguageCheck",
    "LanguageNeurons",
    "LearnedPart",
    "LensSummary",
    "License",
    "MachineTranslated",
    "MixtureGains",
    "Outcome",
    "Pair",
    "PairChecks",
    "PairFlag",
    "PairQuality",
    "PairedComparison",
    "PartPlan",
    "Patch",
    "PhasePlan",
    "Prediction",
    "Prompt",
    "Provenance",
    "Question",
    "Reason",
    "ReasonPart",
    "RecipeResult",
    "Result",
    "RunComparison",
    "Sample",
    "Setup",
    "Severity",
    "StageCost",
    "Suggestion",
    "Summary",
    "SweepFindings",
    "TaskResult",
    "TextNLL",
    "Trajectory",
    "TransferMatrix",
    "Translation",
    "TranslationCost",
    "Tuning",
    "Verdict",
]
