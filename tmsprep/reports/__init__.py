"""Figures and reports; they read derivatives and evaluation only."""
