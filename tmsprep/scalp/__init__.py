"""From a point in the brain to the coil: head surface, scalp entry, coil pose, 10-20 positions."""
