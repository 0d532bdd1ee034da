"""Simulated neuromelanin-sensitive scans in which both loci coerulei are known exactly."""

from tmsprep.phantoms.neuromelanin.dataset import write_neuromelanin
from tmsprep.phantoms.neuromelanin.scan import NeuromelaninPhantom, make_neuromelanin

__all__ = ['NeuromelaninPhantom', 'make_neuromelanin', 'write_neuromelanin']
