"""What is done to runs, and what is seen then."""
