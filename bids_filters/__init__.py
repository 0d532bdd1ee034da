"""Presets for ``--bids-filter-file``, also accepted by their bare names."""
