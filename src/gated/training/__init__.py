"""Training, for every task: one loop, and what a task must say."""
