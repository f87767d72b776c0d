"""The experiment: its frozen configuration, and the TOML files that it is read from and written to."""

from spillover.experiment.arms import ArmConfig
from spillover.experiment.experiment import Experiment
from spillover.experiment.files import dump_experiment, load_experiment, parse_experiment, read_table
from spillover.experiment.section import IN_DIGEST
from spillover.experiment.sections import (
    AnalyzeConfig,
    EvaluateConfig,
    LanguageConfig,
    MixtureConfig,
    ModelConfig,
    QuestionsConfig,
    ReportConfig,
    TranslateConfig,
)
from spillover.experiment.tuning import PartConfig, PhaseConfig, TuneConfig

__all__ = [
    "IN_DIGEST",
    "AnalyzeConfig",
    "ArmConfig",
    "EvaluateConfig",
    "Experiment",
    "LanguageConfig",
    "MixtureConfig",
    "ModelConfig",
    "PartConfig",
    "PhaseConfig",
    "QuestionsConfig",
    "ReportConfig",
    "TranslateConfig",
    "TuneConfig",
    "dump_experiment",
    "load_experiment",
    "parse_experiment",
    "read_table",
]
