"""The model organism: invented languages over one grammar, in which spill-over must appear. It has no weights.

`models/organism.py` pretrains a model on `corpus`. `docs/organism.md` says what it shows, and what it does not.
"""
