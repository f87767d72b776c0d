"""Where questions and items come from."""

from spillover.sources.source import InspectableSource, Source, SourceOfUnpairedItems, labeled_questions, open_source

__all__ = ["InspectableSource", "Source", "SourceOfUnpairedItems", "labeled_questions", "open_source"]
