"""Nipype graphs: factories only, no arithmetic, no file formats."""
