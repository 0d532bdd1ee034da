"""How a run is carried out: Nipype, processes, locks, signals, Slurm, the machine's limits."""

#: Process exit codes.
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
