"""The recipe of the container; with TMSPREP_TEST_CONTAINER=1 it is built and run by Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tmsprep import __version__

CHECKOUT = Path(__file__).parents[1]
IMAGE = 'tmsprep-test'
MOST_BYTES = 2_500_000_000


def text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding='utf-8')


def instructions() -> list[tuple[str, str]]:
    """Instructions and arguments of the Dockerfile, each on one line, without comments."""
    lines = (line for line in text('Dockerfile').splitlines() if not line.startswith('#'))
    joined = re.sub(r'\\\n\s*', '', '\n'.join(lines))
    return [(*line.split(None, 1),) for line in joined.splitlines() if line.strip()]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def last_stage() -> list[tuple[str, str]]:
    every = instructions()
    start = max(number for number, (name, _) in enumerate(every) if name == 'FROM')
    return every[start:]


def test_the_base_image_can_be_replaced() -> None:
    assert instructions()[0] == ('ARG', 'BASE=python:3.11-slim-bookworm')
    assert {rest.split()[0] for rest in arguments('FROM')} == {'${BASE}'}
    assert 'Python 3.11' in text('constraints.txt').splitlines()[0]


def test_build_stages() -> None:
    assert len(arguments('FROM')) == 2
    copied = [rest for name, rest in last_stage() if name == 'COPY']
    assert copied == ['--from=builder /opt/tmsprep /opt/tmsprep']


def test_nobody_is_root() -> None:
    users = [rest for name, rest in last_stage() if name == 'USER']
    assert users == ['1000:1000']


def test_the_entry_point_needs_no_shell() -> None:
    assert [json.loads(rest) for rest in arguments('ENTRYPOINT')] == [['/opt/tmsprep/bin/tmsprep']]
    assert [json.loads(rest) for rest in arguments('CMD')] == [['--help']]


def test_pinned_installs() -> None:
    installs = [rest for rest in arguments('RUN') if '} install' in rest]
    assert len(installs) == 2
    assert all(' -c constraints.txt ' in rest for rest in installs)
    # One index for one package, so that no other is asked for what is not there.
    (of_torch,) = (rest for rest in installs if 'index' in rest)
    assert of_torch.endswith(' --no-deps --index-url "${TORCH_INDEX}" -c constraints.txt torch')
    addresses = re.findall(r'https?://\S+', text('Dockerfile'))
    assert addresses == ['https://download.pytorch.org/whl/cpu']


def test_image_labels() -> None:
    assert f'VERSION={__version__}' in arguments('ARG')
    labels = re.findall(r'org\.opencontainers\.image\.(\w+)=', arguments('LABEL')[0])
    assert labels == ['title', 'description', 'version', 'licenses', 'source', 'documentation']


def test_build_context() -> None:
    lines = [line for line in text('.dockerignore').splitlines() if not line.startswith('#')]
    assert lines[0] == '*'
    allowed = {line[1:] for line in lines if line.startswith('!')}
    copied = {name for rest in arguments('COPY') for name in rest.split()[:-1]}
    assert allowed == copied - {'--from=builder', '/opt/tmsprep'}
    links = [path for path in (CHECKOUT / 'tmsprep').iterdir() if path.is_symlink()]
    assert {link.resolve().name for link in links} <= allowed


def test_build_context_without_images() -> None:
    lines = text('.dockerignore').splitlines()
    folders = [CHECKOUT / line[1:] for line in lines if line.startswith('!')]
    paths = [path for folder in folders for path in [folder, *folder.rglob('*')]]
    assert [path for path in paths if re.search(r'\.(nii|mgz|dcm|h5)', path.name)] == []


def why_not() -> str:
    """Say why no container can be built here; '' if one can."""
    if os.environ.get('TMSPREP_TEST_CONTAINER') != '1':
        return 'takes minutes; set TMSPREP_TEST_CONTAINER=1 to build and run the container'
    if shutil.which('docker') is None:
        return 'no docker here'
    if subprocess.run(['docker', 'info'], capture_output=True, check=False).returncode:
        return 'no Docker engine answers'
    return ''


def docker(*words: object) -> str:
    command = ['docker', *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.fixture(scope='module')
def image() -> Iterator[str]:
    """The image; TMSPREP_TEST_CONTAINER_BUILD holds more options of `docker build`."""
    if reason := why_not():
        pytest.skip(reason)
    more = shlex.split(os.environ.get('TMSPREP_TEST_CONTAINER_BUILD', ''))
    docker('build', '-q', *more, '-t', IMAGE, CHECKOUT)
    yield IMAGE
    docker('rmi', IMAGE)


@pytest.mark.container
@pytest.mark.timeout(1800)
def test_the_image_is_small(image: str) -> None:
    assert int(docker('image', 'inspect', '--format', '{{.Size}}', image)) < MOST_BYTES


@pytest.mark.container
@pytest.mark.timeout(1800)
def test_offline_read_only_container(image: str, tmp_path: Path) -> None:
    user = os.getuid() or 1000
    os.chown(tmp_path, user, -1)
    options = ['--rm', '--network', 'none', '--read-only', '--tmpfs', '/tmp', '--user', user]
    options += ['-v', f'{tmp_path}:/demo', '--entrypoint', 'tmsprep-demo']
    said = docker('run', *options, image, '/demo/with space')
    means = next(line.split()[1:] for line in said.splitlines() if line.startswith('mean'))
    # The demo's own figures are 1.8 and 0.8 mm.
    assert float(means[0]) < 3
    assert float(means[1]) < 2
