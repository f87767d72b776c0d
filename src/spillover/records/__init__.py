"""What flows through the stages and what is computed from it, as frozen records without behavior.

One module per subject: data, scoring, estimates, comparison, interpretability, tuning, data quality, one run, several
runs, transfer, suggestion. A record says what a number means, with its unit; it does not say how it is computed or shown.
"""

from spillover.records.comparison import (
    ALARM_RATE,
    ArmMetrics,
    Comparison,
    Gain,
    GroupGain,
    ItemScores,
    Summary,
    Verdict,
)
from spillover.records.data import Example, Item, LabeledQuestion, Pair, PairFlag, Question
from spillover.records.estimates import Curve, Estimate
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
from spillover.records.quality import Data, Defect, MachineTranslated, PairChecks, Severity
from spillover.records.run import Findings, Provenance, Setup, StageCost, TranslationCost
from spillover.records.runs import FinishedRun, PairedComparison, RecipeResult, RunComparison, TaskResult
from spillover.records.scoring import ARMS, Cell, Prediction, Prompt, TextNLL
from spillover.records.suggestion import Candidate, CrossValidation, Suggestion
from spillover.records.transfer import BestMixture, ExperimentStatus, MixtureGains, SweepFindings, TransferMatrix
from spillover.records.tuning import Forgetting, Translation, Tuning

__all__ = [
    "ARMS",
    "ALARM_RATE",
    "AffineLens",
    "Alignment",
    "LabeledQuestion",
    "Array",
    "Cell",
    "TranslationCost",
    "PairChecks",
    "BestMixture",
    "Comparison",
    "StageCost",
    "Curve",
    "Data",
    "Defect",
    "PairedComparison",
    "RecipeResult",
    "Estimate",
    "Example",
    "Findings",
    "PairFlag",
    "Forgetting",
    "Gain",
    "Geometry",
    "SweepFindings",
    "Internals",
    "Item",
    "LensSummary",
    "RunComparison",
    "TransferMatrix",
    "LanguageNeurons",
    "Pair",
    "Patch",
    "ArmMetrics",
    "Prediction",
    "Prompt",
    "Candidate",
    "Provenance",
    "Question",
    "TaskResult",
    "FinishedRun",
    "Setup",
    "Severity",
    "ItemScores",
    "GroupGain",
    "ExperimentStatus",
    "Suggestion",
    "Summary",
    "TextNLL",
    "Trajectory",
    "MixtureGains",
    "MachineTranslated",
    "Translation",
    "CrossValidation",
    "Tuning",
    "Verdict",
]
