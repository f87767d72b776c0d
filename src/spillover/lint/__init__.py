"""What is wrong with an experiment's data, said before anything is spent."""

from spillover.lint.examine import examine
from spillover.lint.formats import FORMATS
from spillover.lint.tokens import Reads, open_reads

__all__ = ["FORMATS", "Reads", "examine", "open_reads"]
