"""Parts of ``benchmarks/scale.py``: made data, measurements, the page and its graph."""
