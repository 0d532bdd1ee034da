"""Parts of ``benchmarks/coeruleus_heads.py``: images of heads never used, results, page."""
