from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from coeruleus_data import (
    STEM,
    centres_mm,
    image_affine,
    rods,
    write_bids,
    write_image,
    write_mask,
)

from tmsprep.bids import BidsError, ImageRef
from tmsprep.learning.annotations import Annotations
from tmsprep.methods.duennwald2021.masks import collect_coeruleus
from tmsprep.methods.duennwald2021.volumes import load_volumes
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('locus-coeruleus')
Images = dict[str, list[ImageRef]]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    bids = write_bids(tmp_path / 'bids')
    return {label: [write_image(bids, label, int(label))] for label in ('01', '02', '03')}


def collect(tmp_path: Path, images: Images, folder: str = 'rater') -> Annotations:
    return collect_coeruleus(images, tmp_path / folder, PROTOCOL, tmp_path / 'merged')


def write_points(tmp_path: Path, label: str, points: np.ndarray) -> None:
    path = tmp_path / 'rater' / f'sub-{label}_{STEM}_desc-me_targets.tsv'
    path.parent.mkdir(exist_ok=True)
    rows = [
        '\t'.join([name, side, *map(str, point)])
        for name, side, point in zip(('LLC', 'RLC'), 'LR', points.tolist(), strict=True)
    ]
    path.write_text('\n'.join(['label\themisphere\tx\ty\tz', *rows]) + '\n')


def test_masks_and_points(tmp_path: Path, images: Images) -> None:
    write_mask(tmp_path / 'rater', '01', rods(1))
    write_mask(tmp_path / 'rater', '09', rods(9))
    write_points(tmp_path, '02', centres_mm(2))
    found = collect(tmp_path, images)
    assert found.problems == {}
    assert [p.name for p in found.examples] == [f'sub-01_{STEM}', f'sub-02_{STEM}']
    for example, volume in zip(
        found.examples, load_volumes(found.examples, tmp_path / 'cache', PROTOCOL), strict=True
    ):
        mm = volume.points.numpy() @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        np.testing.assert_allclose(mm, centres_mm(int(example.name[4:6])), atol=1e-4)
    assert any('sub-09' in note and 'not in this run' in note for note in found.notes)
    assert any('sub-03' in note and 'without mask or points' in note for note in found.notes)


def test_two_files(tmp_path: Path, images: Images) -> None:
    labels = rods(1)
    for number, side in enumerate('LR', start=1):
        mask = (labels == number).astype(np.uint8)
        write_mask(tmp_path / 'rater', '01', mask, name=f'hemi-{side}_label-LC_mask')
    (example,) = collect(tmp_path, images).examples
    assert example.mask.parent == tmp_path / 'merged'
    np.testing.assert_array_equal(np.asanyarray(nib.load(example.mask).dataobj), labels)
    # One side alone does not tell whether the other is empty.
    (tmp_path / 'rater' / 'sub-01' / 'anat').joinpath(
        f'sub-01_{STEM}_hemi-R_label-LC_mask.nii.gz'
    ).unlink()
    found = collect(tmp_path, images)
    assert found.examples == []
    assert 'no file of the other side, hemi-R' in found.problems['01'][0]


def test_impossible_masks(tmp_path: Path, images: Images) -> None:
    folder, labels = tmp_path / 'rater', rods(1)
    swapped = write_mask(folder, '01', np.array([0, 2, 1], np.uint8)[labels])
    moved = image_affine(0.375)
    moved[2, 3] += 30
    elsewhere = write_mask(folder, '02', labels, moved)
    found = collect(tmp_path, images)
    assert found.examples == []
    assert str(swapped) in found.problems['01'][0]
    assert 'label 1 (left) lies 6.0 mm to the right of label 2' in found.problems['01'][0]
    assert f'{elsewhere}: 100% of what is marked lies outside' in found.problems['02'][0]
    write_mask(folder, '01', 0 * labels)
    other_label = write_mask(folder, '02', 5 * labels)
    damaged = write_mask(folder, '03', labels)
    damaged.write_bytes(damaged.read_bytes()[:400])
    found = collect(tmp_path, images)
    assert 'nothing is marked' in found.problems['01'][0]
    assert str(other_label) in found.problems['02'][0]
    assert str(damaged) in found.problems['03'][0]


def test_empty_side(tmp_path: Path, images: Images) -> None:
    write_mask(tmp_path / 'rater', '01', np.where(rods(1) == 1, 0, rods(1)).astype(np.uint8))
    found = collect(tmp_path, images)
    assert found.problems == {}
    assert any('nothing is marked on the left' in note for note in found.notes)
    (volume,) = load_volumes(found.examples, tmp_path / 'cache', PROTOCOL)
    assert volume.points.isfinite().all(dim=1).tolist() == [False, True]


def test_copied_mask(tmp_path: Path, images: Images) -> None:
    for label, seed in (('01', 1), ('02', 2), ('03', 2)):
        write_mask(tmp_path / 'rater', label, rods(seed))
    found = collect(tmp_path, images)
    assert [example.name for example in found.examples] == [f'sub-01_{STEM}']
    assert 'the same mask as' in found.problems['03'][0]


def test_several_raters(tmp_path: Path, images: Images) -> None:
    for rater in ('rater1', 'rater2'):
        write_mask(tmp_path / 'all' / rater, '01', rods(1))
    with pytest.raises(BidsError, match='give the folder of that rater by --annotations'):
        collect(tmp_path, images, 'all')
    write_mask(tmp_path / 'all' / 'rater1', '02', rods(2))
    found = collect(tmp_path, images, 'all')
    assert [example.name for example in found.examples] == [f'sub-02_{STEM}']
    assert 'Only one rater can be used' in found.problems['01'][0]


def test_name_without_image(tmp_path: Path, images: Images) -> None:
    path = tmp_path / 'rater' / 'sub-01_acq-other_dseg.nii.gz'
    path.parent.mkdir()
    write_mask(tmp_path / 'x', '01', rods(1)).replace(path)
    found = collect(tmp_path, images)
    assert f'{path}: no image of sub-01 has all entities of its name' in found.problems['01'][0]


def test_exchanged_points(tmp_path: Path, images: Images) -> None:
    write_points(tmp_path, '01', centres_mm(1)[::-1])
    found = collect(tmp_path, images)
    assert found.examples == []
    assert '01' in found.problems


def test_masks_before_points(tmp_path: Path, images: Images) -> None:
    write_mask(tmp_path / 'rater', '01', rods(1))
    write_points(tmp_path, '01', centres_mm(1) + 1)
    found = collect(tmp_path, images)
    assert [example.points for example in found.examples] == [None]
    assert any('Masks go before points' in note for note in found.notes)


def test_empty_folder(tmp_path: Path, images: Images) -> None:
    (tmp_path / 'rater').mkdir()
    with pytest.raises(BidsError, match='no mask and no file of points here'):
        collect(tmp_path, images)
