"""Giving away what there is: a tuned model, its adapter on the hub, training examples, tasks for the harness."""
