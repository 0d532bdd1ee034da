"""Names of the atlases in file names."""

#: BIDS name of the template bundled with nilearn (ICBM 152 nonlinear symmetric 2009a, 1 mm).
DEFAULT_ATLAS = 'MNI152NLin2009aSym'

#: Templates to which transforms of other programs lead and in which the default atlas has points.
SPACES = (DEFAULT_ATLAS, 'MNI152NLin2009cAsym', 'MNI152NLin6Asym')

#: An atlas given by the user.
USER_ATLAS = 'atlas'
