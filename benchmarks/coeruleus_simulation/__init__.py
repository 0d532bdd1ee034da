"""Simulated neuromelanin-sensitive images of real heads, to train the network on."""
