"""What is wrong with a file of points."""

from __future__ import annotations


class PointsFileError(ValueError):
    """A file of points that cannot be used; the message names the file and the cure."""
