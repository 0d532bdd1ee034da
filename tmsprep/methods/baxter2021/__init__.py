"""The multi-resolution network of Baxter et al. 2021."""
