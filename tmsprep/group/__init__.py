"""The group: everybody's points by every method and rater, compared."""
