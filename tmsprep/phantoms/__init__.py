"""Phantom heads: T1-weighted scans in which the truth is known."""

from tmsprep.phantoms.dataset import write_dataset
from tmsprep.phantoms.head import Phantom, make_head

__all__ = ['Phantom', 'make_head', 'write_dataset']
