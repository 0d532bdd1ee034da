"""Localise the targets of brain stimulation in a person's own MRI."""

import os
import sys

# The one place of the version: packaging reads it, without importing this file.
__version__ = '0.1.0'

# ``python -m tmsprep``, and no import by a program: Python would take modules from the current
# folder first, and run a csv.py or json.py in a data set from elsewhere. A checkout keeps its own.
_checkout = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
if sys.argv[:1] == ['-m'] and not sys.flags.safe_path and sys.path[0] != _checkout:
    del sys.path[0]
