"""Faults of runs, and their effects."""
