"""What is wrong with an experiment's data, said before anything is spent."""

from spillover.doctor.defect import FORMATS
from spillover.doctor.examine import examine
from spillover.doctor.tokens import Reads, open_reads

__all__ = ["FORMATS", "Reads", "examine", "open_reads"]
