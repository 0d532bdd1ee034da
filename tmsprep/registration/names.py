"""What atlases are called in file names."""

DEFAULT_ATLAS = 'MNI152NLin2009aSym'
"""BIDS name of the template bundled with nilearn (ICBM 152 nonlinear symmetric 2009a, 1 mm)."""

USER_ATLAS = 'atlas'
"""A user's own atlas."""
