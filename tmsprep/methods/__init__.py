"""Methods that localise; each is a folder."""
