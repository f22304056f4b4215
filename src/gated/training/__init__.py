"""Training, for every task: one loop, and the interface that a task implements."""
