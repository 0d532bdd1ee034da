from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hpc.slurm_local import LocalSlurm, missing_programs, skip_or_fail

from tmsprep.phantoms import write_dataset


@pytest.fixture(scope='session')
def slurm() -> Iterator[LocalSlurm]:
    """Slurm of one node, private to the tests."""
    missing = missing_programs()
    if missing:
        skip_or_fail(f'not installed: {" ".join(missing)} (Debian: slurm-wlm and munge)')
    # Not below pytest's folders, whose names are too long for a socket.
    with tempfile.TemporaryDirectory(prefix='slurm') as folder:
        local = LocalSlurm(Path(folder))
        try:
            local.start()
        except RuntimeError as error:
            local.stop()
            skip_or_fail(str(error))
        yield local
        local.stop()


@pytest.fixture(scope='session')
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set of one coarse phantom."""
    folder = tmp_path_factory.mktemp('head')
    return write_dataset(folder / 'bids', [5], ['01'], voxel_size=(4.0, 4.0, 4.0))


@pytest.fixture
def bids(head: Path, tmp_path: Path) -> Path:
    """Data set of eight participants with the same head."""
    folder = tmp_path / 'bids'
    folder.mkdir()
    shutil.copy(head / 'dataset_description.json', folder)
    for label in (f'0{i}' for i in range(1, 9)):
        for file in (head / 'sub-01' / 'anat').iterdir():
            copy = folder / f'sub-{label}' / 'anat' / file.name.replace('sub-01', f'sub-{label}')
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return folder


@pytest.fixture
def settings(bids: Path, shipped_weights: Path, tmp_path: Path) -> Path:
    """Settings of the job files for that data set; the path of the outputs holds a space."""
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    path = tmp_path / 'settings.sh'
    path.write_text(f"""BIDS={bids}
OUT='{tmp_path}/my out'
VENV={sys.prefix}
OPTIONS=(--protocol tms --omp-nthreads 1)
PARTICIPANT_OPTIONS=(--localizers cnn --weights '{shipped_weights}')
PARTICIPANTS_PER_TASK=3
TASKS_AT_ONCE=2
SCRATCH={scratch}
PARTICIPANT_SBATCH=(--time=5 --cpus-per-task=1 --mem=1200M)
GROUP_SBATCH=(--time=5 --cpus-per-task=1 --mem=1200M)
""")
    return path
