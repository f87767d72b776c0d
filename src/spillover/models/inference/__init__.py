"""Reading many token sequences with one model: shared prefixes, batches, logits of the wanted positions."""
