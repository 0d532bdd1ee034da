from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.running.device import resolve_device


def test_without_device_files_it_is_the_cpu_at_once(tmp_path: Path) -> None:
    (tmp_path / 'nvidiactl').touch()
    assert resolve_device('auto', tmp_path) == 'cpu'
    assert resolve_device('cpu', tmp_path) == 'cpu'
    with pytest.raises(ValueError, match='--device cuda: this machine shows no NVIDIA GPU'):
        resolve_device('cuda', tmp_path)


def test_a_gpu_must_answer_and_torch_stays_out_of_this_process(tmp_path: Path) -> None:
    (tmp_path / 'nvidia0').touch()
    code = (
        'import os, sys; from pathlib import Path\n'
        'from tmsprep.running.device import resolve_device\n'
        'os.environ["CUDA_VISIBLE_DEVICES"] = ""\n'
        'try: resolve_device("cuda", Path(sys.argv[1]))\n'
        'finally: assert "torch" not in sys.modules\n'
    )
    checkout = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=checkout,
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith('ValueError: --device cuda: ')
    assert last.endswith('; use --device cpu')
