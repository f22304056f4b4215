"""Recurrent layers on NumPy arrays: the reference implementation, and the native core."""
