"""The faults of an experiment's data, reported before anything is spent."""

from spillover.experiment import Experiment
from spillover.lint.examine import examine
from spillover.lint.formats import FORMATS
from spillover.lint.stored import stored_defects
from spillover.lint.tokens import Reads, open_reads
from spillover.records import Defect
from spillover.stages.inputs import Inputs

__all__ = ["FORMATS", "Reads", "examine", "lint_experiment", "open_reads", "stored_defects"]


def lint_experiment(experiment: Experiment) -> list[Defect]:
    """Return all faults of an experiment's data. The model's weights are not read."""
    with experiment.registered():
        return examine(Inputs(experiment), open_reads(experiment))
