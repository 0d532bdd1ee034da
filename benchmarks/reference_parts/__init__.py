"""Reference points of the training data, from parcellations."""
