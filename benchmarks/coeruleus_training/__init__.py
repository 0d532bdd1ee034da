"""Parts of ``benchmarks/coeruleus_weights.py``: heads, crops, both stages, limits, and guard."""
