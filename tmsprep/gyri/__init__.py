"""Gyri: which one a point lies in, and where on it."""
