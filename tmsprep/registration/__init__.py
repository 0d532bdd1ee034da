"""The annotated atlas, SyN, and points and images moved by transforms."""
