"""Parts of ``benchmarks/coeruleus.py``."""
