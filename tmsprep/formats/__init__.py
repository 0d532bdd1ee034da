"""Points in files: our table and other programs' formats."""
