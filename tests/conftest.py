from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# On a busy machine an example takes a hundred times as long as on an idle one.
hypothesis.settings.register_profile(
    'tmsprep', deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile('tmsprep')

# Threads of Torch that wait for each other on a busy machine make tiny networks ten times slower;
# this must be said before Torch is first imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')

CHECKOUT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope='session', autouse=True)
def _interrupts() -> Iterator[None]:
    """Handle SIGINT, which shells let background processes and their children ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope='session')
def make_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write the weights of a tiny untrained ensemble for the targets of a protocol."""
    import torch

    from tmsprep.methods.baxter2021.network import MultiResolutionNet
    from tmsprep.methods.baxter2021.settings import NetworkSettings
    from tmsprep.methods.baxter2021.weights import Localizer, save_localizer
    from tmsprep.protocols import load_protocol

    def make(protocol: str) -> Path:
        labels = load_protocol(protocol).labels
        settings = NetworkSettings(
            len(labels), crops=(8, 4, 4, 4, 4, 4), kernels=4, channels=2, hidden=4, residual='none'
        )
        members = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            members.append(MultiResolutionNet(settings).eval())
        path = tmp_path_factory.mktemp('weights') / 'random.safetensors'
        return save_localizer(path, Localizer(labels, tuple(members), {'name': 'random'}))

    return make


@pytest.fixture(scope='session')
def random_weights(make_weights: Callable[[str], Path]) -> Path:
    """Weights file of a tiny untrained ensemble for the default protocol."""
    return make_weights('tms')


@pytest.fixture(scope='session')
def shipped_weights() -> Path:
    """Weights file of the default protocol; points by other weights would be unreliable."""
    from tmsprep.protocols import load_protocol

    protocol = load_protocol('tms')
    return protocol.file(protocol.weights['cnn'])


@pytest.fixture(scope='session')
def tmsprep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command in a process of its own, as a user does, away from the checkout."""

    def run(*arguments: object) -> subprocess.CompletedProcess:
        elsewhere = tmp_path_factory.mktemp('elsewhere')
        environment = {**os.environ, 'PYTHONPATH': str(CHECKOUT)}
        return subprocess.run(
            [sys.executable, '-m', 'tmsprep', *map(str, arguments)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
