"""Localise the targets of brain stimulation in a person's own MRI."""

from pathlib import Path

__version__ = '0.1.0'

# In a checkout, `python -m tmsprep` sees this folder rather than the installed package, and the
# rooms that setup.cfg maps from the top level (workflows, bids_filters) lie beside it.
_checkout = Path(__file__).resolve().parents[1]
if (_checkout / 'setup.cfg').is_file():
    __path__.append(str(_checkout))
