"""Results of other tools: read from their files, matched item by item, and compared as the arms of a run are."""
