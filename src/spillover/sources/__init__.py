"""Where questions and items come from."""

from spillover.sources.source import InspectableSource, Source, labeled_questions, open_source

__all__ = ["InspectableSource", "Source", "labeled_questions", "open_source"]
