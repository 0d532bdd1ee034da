"""The group level: points of all participants, by every method and rater, compared."""
