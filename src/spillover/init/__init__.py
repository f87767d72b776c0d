"""From a user's file, folder or set of the hub to an experiment: look, decide what the data are for, write a folder."""

from spillover.init.ask import Ask
from spillover.init.corpus import Corpus, in_languages, read_corpus, with_questions
from spillover.init.decide import counts, decide
from spillover.init.hub import PREFIX, read_hub
from spillover.init.plan import Plan, make_plan
from spillover.init.write import require_new, write_plan

__all__ = [
    "PREFIX",
    "Ask",
    "Corpus",
    "Plan",
    "counts",
    "decide",
    "in_languages",
    "make_plan",
    "read_corpus",
    "read_hub",
    "require_new",
    "with_questions",
    "write_plan",
]
