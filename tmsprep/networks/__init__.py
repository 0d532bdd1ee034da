"""Building blocks of networks; torch is imported by the modules, not by the package."""
