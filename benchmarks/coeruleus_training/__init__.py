"""Parts of ``benchmarks/coeruleus_weights.py``: heads, crops, tasks of both stages, limits."""
