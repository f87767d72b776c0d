"""The experiment: its frozen configuration, and the TOML files that it is read from and written to."""

from spillover.experiment.config import (
    IN_DIGEST,
    AnalyzeConfig,
    EvaluateConfig,
    Experiment,
    LanguageConfig,
    MixtureConfig,
    ModelConfig,
    QuestionsConfig,
    ReportConfig,
    TranslateConfig,
    TuneConfig,
)
from spillover.experiment.files import dump_experiment, load_experiment, parse_experiment, read_table

__all__ = [
    "IN_DIGEST",
    "AnalyzeConfig",
    "EvaluateConfig",
    "Experiment",
    "LanguageConfig",
    "MixtureConfig",
    "ModelConfig",
    "QuestionsConfig",
    "ReportConfig",
    "TranslateConfig",
    "TuneConfig",
    "dump_experiment",
    "load_experiment",
    "parse_experiment",
    "read_table",
]
