"""What is wrong with an image."""

from __future__ import annotations


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the cure."""
