"""Which device the network runs on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Torch must not be loaded in this process: the workers that fork from it would hang.
_TRY = 'import torch; torch.zeros(1, device="cuda").add_(1).item()'
_TIMEOUT_S = 300


def resolve_device(wanted: str, devices: Path = Path('/dev')) -> str:
    """Choose the CPU or the GPU before anything is built.

    Parameters
    ----------
    wanted : str
        'auto', 'cpu' or 'cuda'.
    devices : Path
        Where the driver's device files are.

    Returns
    -------
    str
        'cpu' or 'cuda'; for 'auto' the GPU if one answers.

    Raises
    ------
    ValueError
        If 'cuda' is wanted and no GPU answers (the message says why), or another word is given.
    """
    if wanted not in ('auto', 'cpu', 'cuda'):
        raise ValueError(f'--device {wanted!r} is not known; choose from auto, cpu, cuda')
    if wanted == 'cpu':
        return 'cpu'
    if not [*devices.glob('nvidia[0-9]*'), *devices.glob('dxg')]:
        problem = 'this machine shows no NVIDIA GPU (in a container, give --nv or --gpus)'
    else:
        problem = _try_cuda()
    if wanted == 'cuda' and problem:
        raise ValueError(f'--device cuda: {problem}; use --device cpu')
    return 'cpu' if problem else 'cuda'


def _try_cuda() -> str:
    """Let another process compute on the GPU; return '' or the last line of its complaint."""
    try:
        run = subprocess.run(
            [sys.executable, '-c', _TRY], capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f'the GPU did not answer within {_TIMEOUT_S} s'
    lines = run.stderr.strip().splitlines() or [f'exit code {run.returncode}']
    return lines[-1] if run.returncode else ''
