"""The networks themselves; torch is imported by the modules, never by this package."""
