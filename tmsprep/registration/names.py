"""Names of the atlases in file names."""

#: BIDS name of the template bundled with nilearn (ICBM 152 nonlinear symmetric 2009a, 1 mm).
DEFAULT_ATLAS = 'MNI152NLin2009aSym'

#: An atlas given by the user.
USER_ATLAS = 'atlas'
