"""Gyri in label volumes: their crowns, and the points on them."""
