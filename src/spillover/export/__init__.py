"""Exports: a tuned model, its adapter on the hub, training examples, tasks for lm-evaluation-harness."""
