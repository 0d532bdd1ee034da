"""The annotated atlas, SyN, and moving points through transforms."""
