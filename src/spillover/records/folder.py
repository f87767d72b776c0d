"""Names of the files in a run folder that more than one package writes or reads."""

EXPERIMENT_FILE = "experiment.toml"
"""The experiment with every key. It makes a folder a run folder."""

PROVENANCE_FILE = "provenance.json"
"""Versions, machine and keys. A run writes it last, so a folder that has it is one of a finished run."""

ADDRESS_FILE = ".address"
"""In a folder of runs that is the copy of an address: the address."""

PRECISION_FILE = "precision.txt"
"""The dtype that `model.dtype = "auto"` stands for in the run, or in all runs of a grid."""

CLUSTERS_FILE = "clusters.json"
"""The items' clusters: task → an item's id → the first id of its cluster."""
