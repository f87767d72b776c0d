"""The public API as type checkers see it; it runs in `__init__.py`, imported when first used."""

from spillover.analysis.statistics.gains import compare as compare
from spillover.errors import SpilloverError as SpilloverError
from spillover.experiment import Experiment as Experiment
from spillover.experiment import load_experiment as load_experiment
from spillover.models.inference.prefix import PrefixReader as PrefixReader
from spillover.models.load import load as load
from spillover.models.scoring.score import score as score
from spillover.pipeline import Run as Run
from spillover.records import Item as Item
from spillover.records import Prediction as Prediction
from spillover.records import Prompt as Prompt
from spillover.runs.samples.compare import compare_files as compare_files
from spillover.store import Store as Store
from spillover.tasks import open_task as open_task

__all__: list[str]
