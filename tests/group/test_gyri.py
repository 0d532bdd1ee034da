"""Shares of points in gyri that are slabs: the precentral one in front of y = 0, above z = 50."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from gyri_data import slabs

from tmsprep.bids.names import ImageRef
from tmsprep.derivatives.gyri import gyrus_distance, map_path, read_gyri, write_gyri
from tmsprep.evaluation.membership import DISTANCE
from tmsprep.group.analysis import Group
from tmsprep.group.comparison import compare_group
from tmsprep.gyri.frame import SIDES
from tmsprep.gyri.labels import NAMES, OTHER_HEMISPHERE
from tmsprep.outcome import Outcome

if TYPE_CHECKING:
    from conftest import Study

GYRUS = 'precentral gyrus'
#: In the gyrus, 2 mm behind its last voxels' faces (y = 0), and 20 mm above the brain's top.
INSIDE, BEHIND, FAR = (-30.0, 11.0, 55.0), (-30.0, -2.0, 55.0), (-30.0, 11.0, 80.0)


def write_maps(study: Study, image: ImageRef, folder: Path, sha256: str = 'none') -> None:
    saved = slabs().save(folder / 'gyri.npz')
    outcomes = {'syn': Outcome('syn'), 'cnn': Outcome('cnn', files={'gyri': str(saved)})}
    write_gyri(outcomes, image, study.layout, {'ReferenceImage': {'SHA256': sha256}})


@pytest.fixture
def toy(study: Study) -> Study:
    """The study's protocol, with a gyrus for its first target."""
    text = study.protocol_file.read_text()
    text = text.replace('source', 'gyri = "gyri.safetensors"\nsource')
    study.protocol_file.write_text(
        text.replace('label = "LA"', f'label = "LA"\ngyrus = "{GYRUS}"')
    )
    return study


def distances(group: Group) -> Mapping[str, float]:
    points = compare_group(group).tables['targets']
    own = points[points['label'] == 'LA']
    return dict(zip(own['method'], own[DISTANCE], strict=True))


def test_round_trip(toy: Study, tmp_path: Path) -> None:
    """The maps hold the likeliest classes in the frame of the image, without the other side."""
    image = toy.outputs('sub-01', cnn={'LA': INSIDE})
    write_maps(toy, image, tmp_path)
    maps, made = read_gyri(toy.layout, image, 'none'), slabs()
    for side in SIDES:
        labels = np.asarray(maps[side].dataobj)
        assert maps[side].affine == pytest.approx(made.affines[side], abs=1e-4)
        gyrus = made.probabilities[side][NAMES.index(GYRUS)] > 0.5
        assert ((labels == NAMES.index(GYRUS)) == gyrus).all()
        assert NAMES.index(OTHER_HEMISPHERE) not in labels
    sidecar = json.loads(
        map_path(toy.layout, image, 'L').with_suffix('').with_suffix('.json').read_text()
    )
    assert sidecar['SeenFrom'] == 'cnn'


def test_gyrus_distance(toy: Study, tmp_path: Path) -> None:
    image = toy.outputs('sub-01', cnn={'LA': INSIDE})
    write_maps(toy, image, tmp_path)
    maps = read_gyri(toy.layout, image, 'none')
    points = np.array([INSIDE, BEHIND, FAR, (np.nan,) * 3])
    found = gyrus_distance(maps, points, 'L', GYRUS)
    # Voxels have 2 mm: the first face of the gyrus lies within one of y = 0, its top of z = 60.
    assert found[0] == 0
    assert found[1] == pytest.approx(2, abs=1)
    assert found[2] == pytest.approx(20, abs=1)
    assert np.isnan(found[3])
    assert np.isnan(gyrus_distance(maps, points, 'L', 'insula')).all()
    # Seen from the other side the same point is 30 mm beyond the midline.
    assert gyrus_distance(maps, points[:1], 'R', GYRUS)[0] == pytest.approx(30, abs=1.5)


def test_shares(toy: Study, tmp_path: Path) -> None:
    """Methods and raters are judged by the maps of their image; the table pools participants."""
    for number, syn in ((1, INSIDE), (2, FAR)):
        image = toy.outputs(f'sub-0{number}', cnn={'LA': INSIDE}, syn={'LA': syn})
        write_maps(toy, image, tmp_path)
        toy.rater(f'sub-0{number}', 'anna', {'LA': INSIDE})
    result = compare_group(toy.collect())
    table = result.tables['gyri'].set_index(['label', 'method'])
    shares = {method: table.loc[('LA', method), 'inside'] for method in ('cnn', 'syn')}
    assert shares == {'cnn': 1, 'syn': 0.5}
    assert table.loc[('LA', 'rater-anna'), 'n'] == 2
    assert table.loc[('LA', 'consensus'), 'inside'] == 1
    assert table.loc[('MEAN', 'syn'), 'near'] == 0.5


def test_other_image(toy: Study, tmp_path: Path) -> None:
    """Maps of another image of the same name, and outputs without maps, say nothing."""
    image = toy.outputs('sub-01', cnn={'LA': INSIDE})
    assert np.isnan(distances(toy.collect(annotated=False))['cnn'])
    write_maps(toy, image, tmp_path, sha256='another')
    group = toy.collect(annotated=False)
    assert np.isnan(distances(group)['cnn'])
    assert 'gyri' not in compare_group(group).tables


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flatten(path: Path) -> None:
    """Take the second row of the sform, bytes 296 to 312 of the header."""
    header = bytearray(gzip.decompress(path.read_bytes()))
    header[296:312] = bytes(16)
    path.write_bytes(gzip.compress(header))


def crop(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)


@pytest.mark.parametrize('damage', [cut, flatten, crop])
def test_damaged(toy: Study, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A damaged map is named, and costs nothing but the shares."""
    image = toy.outputs('sub-01', cnn={'LA': INSIDE})
    write_maps(toy, image, tmp_path)
    path = map_path(toy.layout, image, 'R')
    damage(path)
    result = compare_group(toy.collect(annotated=False))
    assert 'gyri' not in result.tables
    (issue,) = [issue for issue in result.group.issues if 'gyri' in issue.message]
    assert path.name in issue.message
    assert (issue.subject, issue.severity) == ('01', 'warning')
