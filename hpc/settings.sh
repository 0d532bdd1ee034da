# Settings of the job files. Copy this file, fill the copy in, and give it to submit.sh.
# It is read where you submit and on every node; paths must be the same on both.
# shellcheck shell=bash disable=SC2034

BIDS=/data/study/bids
OUT=/data/study/derivatives/tmsprep

# How tmsprep is installed: a container image, or the folder of a virtual environment.
SIF=/data/containers/tmsprep.sif
VENV=

# As on the command line. Quotes keep together what holds a space.
OPTIONS=()              # of both levels, such as (--protocol afids --skip-bids-validation)
PARTICIPANT_OPTIONS=()  # such as (--localizers cnn --bids-filter-file t1w)
GROUP_OPTIONS=()        # such as (--annotations /data/study/points)

# For the container: files and folders that the options name, outside of BIDS and OUT.
BINDS=()                # such as (/data/study/points)

# Starting up takes as long as one or two participants with the network alone: give a task several.
PARTICIPANTS_PER_TASK=8
TASKS_AT_ONCE=50

# Folder on the node's own disk for intermediate results; a task deletes what it made there.
SCRATCH=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}

# Slurm tells a job about its GPU, which is then used. Other schedulers: GPU=yes if you ask for one.
GPU=

# Resources for sbatch. One process runs per CPU; each registration needs 3 GB and two CPUs.
PARTICIPANT_SBATCH=(--time=01:00:00 --cpus-per-task=2 --mem=8G)
GROUP_SBATCH=(--time=01:00:00 --cpus-per-task=1 --mem=4G)
