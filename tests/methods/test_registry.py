"""Methods of other packages, which are installed in a folder of the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tmsprep import __version__
from tmsprep.methods import get_method, method_names, method_options
from tmsprep.methods.baxter2021.method import MultiResolutionCNN
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

MODULE = """
from tmsprep.methods.base import Method

class Other(Method):
    name = 'other'
    title = description = 'Other'

    def locate(self, request):
        raise NotImplementedError
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def write(entry: str) -> None:
        info = tmp_path / 'other-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: other\nVersion: 1.0\n')
        (info / 'entry_points.txt').write_text(f'[tmsprep.methods]\n{entry}\n')
        package = tmp_path / 'other_package'
        package.mkdir()
        (package / '__init__.py').touch()
        (package / 'method.py').write_text(MODULE)
        monkeypatch.syspath_prepend(tmp_path)

    return write


def test_no_options_file(install: Install) -> None:
    install('other = other_package.method:Other')
    assert method_names() == ['cnn', 'syn', 'coreunet', 'other']
    assert method_options('other') == ()
    version = get_method('other').version
    assert version.startswith(f'{__version__} ')
    assert get_method('cnn').version == __version__


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ('broken = nowhere.method:Other', 'nowhere.method:Other cannot be imported'),
        ('absent = other_package.method:Absent', 'mend or uninstall the package'),
        ('another = other_package.method:Other', "has the name 'other'"),
    ],
)
def test_broken_package(install: Install, entry: str, message: str) -> None:
    install(entry)
    name = entry.partition(' ')[0]
    assert method_options(name) == ()
    with pytest.raises(ValueError, match=message):
        get_method(name)


def test_shipped_name(install: Install) -> None:
    install('cnn = other_package.method:Other')
    assert isinstance(get_method('cnn'), MultiResolutionCNN)


@pytest.mark.parametrize('doubts', [[], ['slices are in a wrong order']])
def test_status_of_a_doubtful_image(doubts: list[str]) -> None:
    """Findings by which no point can be relied on concern the points of every method."""
    protocol = load_protocol('tms')
    places = {t.label: (-30 if t.hemisphere == 'L' else 30, 0, 0) for t in protocol.targets}
    outcome = Outcome('cnn', PointSet.from_mapping(places, protocol.labels))
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -100
    properties = {'shape': [100, 100, 100], 'affine': affine.tolist(), 'doubts': doubts}
    statuses = get_method('cnn').status(outcome, [], protocol, properties)
    assert set(statuses) == ({'unreliable'} if doubts else {'ok'})
