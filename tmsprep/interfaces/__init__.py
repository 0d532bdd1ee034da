"""Nipype wrappers: each calls one function of the rooms below."""
