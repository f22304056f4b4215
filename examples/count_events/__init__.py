"""The smallest task, counting events in a stream: a folder and a line; see docs/en/new_task.md."""
