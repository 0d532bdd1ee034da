"""Localise the targets of brain stimulation in a person's own MRI."""

# The one place of the version: packaging reads it, without importing this file.
__version__ = '0.1.0'
