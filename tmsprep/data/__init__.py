"""Weights, atlas points and report templates that ship with the package."""
