"""Status, consensus, errors and statistics of points; overlap of masks."""
