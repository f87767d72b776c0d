"""Tuning an adapter: the loss, the trainer, checkpoints and the history that a run keeps."""
