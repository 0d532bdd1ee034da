# What submit.sh and the job files share: the settings, and how tmsprep is called.
# shellcheck shell=bash

stop() {
    printf 'tmsprep: %s\n' "$*" >&2
    exit 2
}

# is_participant WORD: a name as BIDS has it, which needs no quotes and is no option.
is_participant() {
    local LC_ALL=C
    [[ $1 =~ ^sub-[a-zA-Z0-9+]+$ ]]
}

# read_settings FILE
read_settings() {
    # 'source' would search PATH for a bare name.
    [[ $1 == */* ]] || set -- "./$1"
    [[ -f $1 ]] || stop "no settings file $1; copy settings.sh and fill it in"
    # Defaults of what the file does not set.
    SIF='' VENV='' GPU='' OPTIONS=() PARTICIPANT_OPTIONS=() GROUP_OPTIONS=() BINDS=()
    PARTICIPANTS_PER_TASK=8 TASKS_AT_ONCE=50 SCRATCH=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}
    PARTICIPANT_SBATCH=() GROUP_SBATCH=()
    # shellcheck source=hpc/settings.sh
    source "$1"
    [[ -d ${BIDS:-} ]] || stop "$1: BIDS: no folder '${BIDS:-}'"
    [[ ${OUT:-} == /* ]] || stop "$1: OUT: '${OUT:-}' is not a whole path, beginning with /"
    [[ $PARTICIPANTS_PER_TASK =~ ^[1-9][0-9]*$ ]] ||
        stop "$1: PARTICIPANTS_PER_TASK: not a number from 1 on"
    [[ $TASKS_AT_ONCE =~ ^[1-9][0-9]*$ ]] || stop "$1: TASKS_AT_ONCE: not a number from 1 on"
    [[ -d $SCRATCH ]] || stop "$1: SCRATCH: no folder '$SCRATCH' on $(uname -n)"
    check_installation "$1"
}

check_installation() {
    if [[ -n $VENV ]]; then
        [[ -x $VENV/bin/python ]] || stop "$1: VENV: no program $VENV/bin/python on $(uname -n)"
        return
    fi
    [[ -f $SIF ]] || stop "$1: SIF: no file '$SIF' on $(uname -n); or give VENV"
    CONTAINER=$(command -v apptainer || command -v singularity) ||
        stop "neither apptainer nor singularity on $(uname -n); is a module to be loaded?"
    local path
    for path in "$BIDS" "$OUT" "$SCRATCH" "${BINDS[@]}"; do
        [[ $path != *[:,]* ]] || stop "$path: a container cannot bind a path with ':' or ','"
    done
}

# Make the folder $work, which is deleted at the end.
make_work() {
    work=$(mktemp -d "$SCRATCH/tmsprep.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # At the end of its time a job is told to stop, and killed a little later.
    trap 'exit 143' TERM INT
}

# python_of_tmsprep ARGUMENT...: the Python of the installation, with $work for temporary files.
# Without -P, and the variable for the processes that it starts, it would run a csv.py or json.py of
# the current folder, which may be a data set from elsewhere.
python_of_tmsprep() {
    local -x PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1 TMPDIR=$work
    # tmsprep runs one process per CPU, whose libraries must not start a thread for each CPU.
    local -x OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    if [[ -n $VENV ]]; then
        "$VENV/bin/python" -P "$@"
        return
    fi
    # The container sees the same paths as the host, so that messages and outputs name them, and
    # only the environment variables that are listed here.
    local name path prefix=APPTAINERENV_
    [[ $CONTAINER == */apptainer ]] || prefix=SINGULARITYENV_
    for name in TMPDIR PYTHONSAFEPATH OMP_NUM_THREADS OPENBLAS_NUM_THREADS \
        SLURM_CPUS_PER_TASK SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU CUDA_VISIBLE_DEVICES; do
        [[ -z ${!name:-} ]] || local -x "$prefix$name=${!name}"
    done
    local arguments=(--cleanenv --containall --pwd "$work" -B "$BIDS:$BIDS:ro")
    for path in "${BINDS[@]}"; do
        arguments+=(-B "$path:$path:ro")
    done
    arguments+=(-B "$OUT" -B "$work")
    ! has_gpu || arguments+=(--nv)
    # Not 'run', whose start script evaluates the arguments a second time and loses their quotes.
    "$CONTAINER" exec "${arguments[@]}" "$SIF" python -P "$@"
}

has_gpu() {
    [[ -n ${SLURM_JOB_GPUS:-}$GPU ]]
}

# set_options: the options of a run, those of the settings after what the allocation says. They are
# the same at both levels: the group level ignores those of resources.
set_options() {
    local cpus=${SLURM_CPUS_PER_TASK:-${NCPUS:-${NSLOTS:-1}}} device=cpu
    ! has_gpu || device=auto
    options=(-w "$work" --nprocs "$cpus" --device "$device" "${OPTIONS[@]}")
}

# list_pending: a table of the participants that are not done, and why.
list_pending() {
    set_options
    python_of_tmsprep -m tmsprep.cli.pending "$BIDS" "$OUT" participant \
        "${options[@]}" "${PARTICIPANT_OPTIONS[@]}"
}
