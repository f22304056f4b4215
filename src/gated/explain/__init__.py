"""What a network's memory does: how far gradients reach, and more to come."""
