"""What forked children need, imported once by the process that forks them; lingua's tables are read once as well.

lingua is asked about one text at a time: this starts no threads, and a forked child would lack them.
"""

import gc

import pytest
import rapidfuzz.process
import scipy.stats
import typer.main

import spillover.analysis.interpretability.latent
import spillover.analysis.statistics.gains
import spillover.cli
import spillover.forecast
import spillover.models.scoring.likelihood
import spillover.models.scoring.score
import spillover.models.tracing.lenses
import spillover.models.tracing.patch
import spillover.models.tracing.trace
import spillover.models.tuning.tune
import spillover.pipeline
import spillover.report.run
from spillover.languages import languages
from spillover.utils.text import detector, identifies

MODULES = (pytest, rapidfuzz, scipy, spillover, typer)
TEXT = "The soup was cold, and nobody of us wanted to eat any of the bread."

if identifies():
    for codes, fast in ((languages(), True), (("de", "en"), False)):
        detector(frozenset(codes), fast).compute_language_confidence_values(TEXT)

gc.freeze()  # children do not look through all this again
