"""Images of a data set, names of derivatives, and the description of the outputs."""

from tmsprep.bids.collect import FoundImages, ImageQuery, find_images
from tmsprep.bids.description import write_dataset_description
from tmsprep.bids.names import BidsError, ImageRef, derivative_path

__all__ = [
    'BidsError',
    'FoundImages',
    'ImageQuery',
    'ImageRef',
    'derivative_path',
    'find_images',
    'write_dataset_description',
]
