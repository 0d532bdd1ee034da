"""How a run is carried out: Nipype, processes, locks, signals, Slurm, the machine's limits."""

#: Process exit codes; the last one only where it is asked for.
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_WARNED = 0, 1, 2, 3
