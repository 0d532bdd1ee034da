"""Derivatives of one image: tables of targets, read back, and deleted when they are outdated."""
