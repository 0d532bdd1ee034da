"""Phantom heads: simulated T1-weighted scans in which every target is known exactly."""

from tmsprep.phantoms.dataset import write_dataset
from tmsprep.phantoms.head import Phantom, make_head

__all__ = ['Phantom', 'make_head', 'write_dataset']
