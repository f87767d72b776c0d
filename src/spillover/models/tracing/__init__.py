"""Hidden states of every layer: recording, reading through lenses, patching."""
