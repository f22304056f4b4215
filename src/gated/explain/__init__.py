"""What a network's memory does: gates read, memories added up, changed, counted and diagnosed."""
