"""A forecaster that was trained before it sees a table."""
