"""Gyri: which one a point lies in, where on it, and the point in the middle of its crown."""
