from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tmsprep.phantoms import write_dataset


@pytest.mark.slow
def test_nothing_started(tmp_path: Path, shipped_weights: Path, tmsprep: Callable) -> None:
    bids = write_dataset(tmp_path / 'bids', [5], ['01'], voxel_size=(4.0, 4.0, 4.0))
    command = [bids, tmp_path / 'out', 'participant', '--localizers', 'cnn']
    command += ['--weights', shipped_weights, '-w', tmp_path / 'work']
    assert tmsprep(*command, '--nprocs', '1').returncode == 0
    # Nipype refuses nodes that want more memory than there is, before any of them starts.
    plugin = tmp_path / 'plugin.yml'
    plugin.write_text(
        'plugin: MultiProc\nplugin_args: {n_procs: 1, memory_gb: 0.1, raise_insufficient: true}\n'
    )
    again = tmsprep(*command, '--use-plugin', plugin)
    assert again.returncode == 1
    assert again.stderr.strip().splitlines()[-1].count('ERROR tmsprep stopped: RuntimeError') == 1
