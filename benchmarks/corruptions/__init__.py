"""What may be wrong with a clinic's image, one thing at a time, at three strengths."""
