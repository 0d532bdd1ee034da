"""Registration of an annotated atlas by SyN (Avants et al. 2008)."""
