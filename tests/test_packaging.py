from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tmsprep import __version__

CHECKOUT = Path(__file__).parents[1]
METADATA = tomllib.loads((CHECKOUT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
CONSTRAINTS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r'^([\w.-]+)==(.+)$', (CHECKOUT / 'constraints.txt').read_text(encoding='utf-8'), re.M
    )
}


def walk(folder: Path, top: Path) -> set[str]:
    """All files of a folder by their paths from `top`; links are followed."""
    found = os.walk(folder, followlinks=True)
    return {str(Path(at, name).relative_to(top)) for at, _, names in found for name in names}


@pytest.fixture(scope='module')
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of what git has of the checkout, or would have."""
    if not (CHECKOUT / '.git').exists():
        pytest.skip('not a git checkout')
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    folder = tmp_path_factory.mktemp('checkout')
    for name in filter(lambda name: os.path.lexists(CHECKOUT / name), listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, folder / name, follow_symlinks=False)
    return folder


def test_build(checkout: Path, tmp_path: Path) -> None:
    everything, package = walk(checkout, checkout), walk(checkout / 'tmsprep', checkout)
    python = [sys.executable, '-m']
    build = [*python, 'build', '--no-isolation', '--outdir', str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, capture_output=True)
    source, wheel = tmp_path / f'tmsprep-{__version__}.tar.gz', next(tmp_path.glob('*.whl'))

    with tarfile.open(source) as archive:
        names = {m.name.partition('/')[2] for m in archive.getmembers() if m.isfile()}
    made = {'PKG-INFO', 'setup.cfg'} | {n for n in names if n.startswith('tmsprep.egg-info/')}
    assert names - made == everything

    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name == f'tmsprep-{__version__}-py3-none-any.whl'
    assert {name for name in names if '.dist-info/' not in name} == package

    check = [*python, 'twine', 'check', '--strict', str(source), str(wheel)]
    report = subprocess.run(check, check=False, capture_output=True, text=True)
    assert report.returncode == 0, report.stdout


def test_citation_version() -> None:
    citation = yaml.safe_load((CHECKOUT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == __version__
    assert citation['license'] == METADATA['license']


def test_constraints_fit() -> None:
    extras = METADATA['optional-dependencies'].values()
    needed = [Requirement(r) for r in [*METADATA['dependencies'], *(r for e in extras for r in e)]]
    exact = {r.name: CONSTRAINTS[canonicalize_name(r.name)] for r in needed if r.name != 'tmsprep'}
    assert [str(r) for r in needed if r.name in exact and exact[r.name] not in r.specifier] == []


def test_hooks_have_the_same_versions() -> None:
    hooks = yaml.safe_load((CHECKOUT / '.pre-commit-config.yaml').read_text(encoding='utf-8'))
    revisions = {repo['repo'].rpartition('/')[2]: repo.get('rev') for repo in hooks['repos']}
    assert revisions['ruff-pre-commit'] == f'v{CONSTRAINTS["ruff"]}'
    assert revisions['codespell'] == f'v{CONSTRAINTS["codespell"]}'


@pytest.mark.parametrize(
    ('system', 'machine', 'there'),
    [('linux', 'x86_64', True), ('linux', 'aarch64', False), ('darwin', 'arm64', True)],
)
def test_ants_where_it_is_built(system: str, machine: str, there: bool) -> None:
    (ants,) = (Requirement(r) for r in METADATA['dependencies'] if r.startswith('antspyx'))
    assert ants.marker.evaluate({'sys_platform': system, 'platform_machine': machine}) == there
