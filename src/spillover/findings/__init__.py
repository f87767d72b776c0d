"""What a run found, as records: a module each for the comparison, the inside, tuning, the data, and the whole.

Frozen, without behavior beyond what derives from their own fields. They know nothing of how a number was computed, nor
of how it is shown.
"""

from spillover.findings.comparison import ALARM_RATE, Comparison, Gain, Performance, Sheet, Split, Summary, Verdict
from spillover.findings.data import Checked, Data, Defect, Severity, Translated
from spillover.findings.inside import Alignment, Array, Geometry, Inside, Latent, Neurons, Patch
from spillover.findings.run import Characters, Cost, Findings, Provenance, Setup
from spillover.findings.tuning import Forgetting, Translation, Tuning

__all__ = [
    "ALARM_RATE",
    "Alignment",
    "Array",
    "Characters",
    "Checked",
    "Comparison",
    "Cost",
    "Data",
    "Defect",
    "Findings",
    "Forgetting",
    "Gain",
    "Geometry",
    "Inside",
    "Latent",
    "Neurons",
    "Patch",
    "Performance",
    "Provenance",
    "Setup",
    "Severity",
    "Sheet",
    "Split",
    "Summary",
    "Translated",
    "Translation",
    "Tuning",
    "Verdict",
]
