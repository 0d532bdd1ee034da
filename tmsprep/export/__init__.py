"""Files for neuronavigators, from derivatives alone: written, read back, and listed."""
