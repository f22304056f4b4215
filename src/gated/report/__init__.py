"""Report pages and their pictures."""
