"""Which images to use; where a derivative goes; what describes the folder of outputs."""

from tmsprep.bids.collect import Survey, collect_t1w, survey
from tmsprep.bids.description import write_dataset_description
from tmsprep.bids.names import BidsError, ImageRef, derivative_path

__all__ = [
    'BidsError',
    'ImageRef',
    'Survey',
    'collect_t1w',
    'derivative_path',
    'survey',
    'write_dataset_description',
]
