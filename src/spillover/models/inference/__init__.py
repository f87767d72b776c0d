"""Reading many token sequences with one model: what they share is read once, in batches; then log-probabilities."""
