"""How a run is carried out: Nipype, processes, locks, signals, Slurm, the machine's limits."""
