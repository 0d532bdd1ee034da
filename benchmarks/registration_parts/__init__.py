"""The registration against others, and its page; see ``benchmarks/registration.py``."""
