"""From a user's file or folder to an experiment: look at the data, decide what they are for, write a folder."""

from spillover.init.corpus import Corpus, read_corpus
from spillover.init.decide import Ask, counts, decide
from spillover.init.plan import Plan, make_plan
from spillover.init.write import require_new, write_plan

__all__ = ["Ask", "Corpus", "Plan", "counts", "decide", "make_plan", "read_corpus", "require_new", "write_plan"]
