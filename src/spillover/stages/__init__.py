"""The work of each stage. `pipeline` says when a stage runs; these modules say what it does."""
