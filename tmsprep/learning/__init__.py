"""Fitting the networks: data, augmentation, recipes, training."""
