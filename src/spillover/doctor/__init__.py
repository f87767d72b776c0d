"""What is wrong with an experiment's data, said before anything is spent."""

from spillover.doctor.defect import FORMATS
from spillover.doctor.examine import examine

__all__ = ["FORMATS", "examine"]
