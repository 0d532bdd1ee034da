"""Parts of ``benchmarks/accuracy.py``: images, jobs, measurements, tables, figures, page."""
