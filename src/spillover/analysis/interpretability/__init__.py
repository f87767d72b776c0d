"""What lenses, neurons, hidden states and their geometry show, as pure functions of arrays."""
