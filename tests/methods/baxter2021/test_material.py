from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tmsprep.bids import ImageRef
from tmsprep.learning.log import LogRow, MemberLog, read_log, write_log
from tmsprep.methods.baxter2021.cohort import Annotated, Person
from tmsprep.methods.baxter2021.masks import find_mask
from tmsprep.methods.baxter2021.material import keep_aside, load_material
from tmsprep.methods.baxter2021.members import bfloat16_is_fast
from tmsprep.methods.baxter2021.validation import summarise
from tmsprep.points import PointSet


def write_image(path: Path, seed: int) -> Path:
    data = gaussian_filter(np.random.default_rng(seed).random((50, 60, 60)), 2)
    data = (1000 * (data - data.min())).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)
    return path


def named(*names: str) -> list[Person]:
    return [Person(name, (), torch.zeros(1, 3)) for name in names]


def test_with_few_people_nobody_is_kept_aside() -> None:
    people = named(*(f'sub-{i:02d}' for i in range(19)))
    assert keep_aside(people) == (people, [])


def test_every_fifth_participant_is_kept_aside_with_all_images() -> None:
    sessions = [f'sub-{i:02d}_ses-{s}' for i in range(1, 21) for s in 'AB']
    training, validation = keep_aside(named(*sessions))
    aside = [f'sub-{i:02d}_ses-{s}' for i in (5, 10, 15, 20) for s in 'AB']
    assert [person.name for person in validation] == aside
    assert [person.name for person in training] == [s for s in sessions if s not in aside]


def test_whoever_cannot_be_read_is_named_and_changes_are_noticed(tmp_path: Path) -> None:
    good = write_image(tmp_path / 'sub-01_T1w.nii.gz', 1)
    bad = tmp_path / 'sub-02_T1w.nii.gz'
    bad.write_bytes(b'no image')
    points = PointSet(('A',), np.array([[100.0, 100, 100]]))
    people = [Annotated('sub-01', good, points), Annotated('sub-02', bad, points)]
    absent = Annotated('sub-03', tmp_path / 'sub-03_T1w.nii.gz', points)
    material = load_material([*people, absent], tmp_path / 'cache')
    assert [person.name for person in material.people] == ['sub-01']
    assert list(material.problems) == ['sub-02', 'sub-03']
    assert str(bad) in material.problems['sub-02']
    write_image(good, 2)
    again = load_material(people, tmp_path / 'cache')
    assert again.fingerprints['sub-01'] != material.fingerprints['sub-01']
    assert not torch.equal(again.people[0].pyramid[3], material.people[0].pyramid[3])


def test_a_mask_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image = ImageRef.from_path(tmp_path, path)
    one, two = tmp_path / 'one', tmp_path / 'two'
    home = two / 'sub-01' / 'anat'
    home.mkdir(parents=True)
    one.mkdir()
    assert find_mask(image, [one, two]) is None
    (home / 'sub-01_ses-A_desc-brain_mask.nii.gz').touch()
    (home / 'sub-012_dseg.nii.gz').touch()
    assert find_mask(image, [one, two]) is None
    for name in ('sub-01_desc-x_dseg.nii.gz', 'sub-01_dseg.nii.gz', 'sub-01_desc-a_dseg.nii.gz'):
        (home / name).touch()
    assert find_mask(image, [one, two]) == home / 'sub-01_desc-a_dseg.nii.gz'
    (home / 'sub-01_desc-brain_mask.nii.gz').touch()
    assert find_mask(image, [one, two]) == home / 'sub-01_desc-brain_mask.nii.gz'
    (one / 'sub-01_dseg.nii.gz').touch()
    assert find_mask(image, [one, two]) == one / 'sub-01_dseg.nii.gz'


def test_a_log_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / 'log.tsv'
    log = MemberLog(path, 1, 200, 0)
    assert log.every == 2
    measured = [log.add(step, float(step), lambda: 2.5) for step in range(1, 13)]
    assert measured == [None] * 9 + [2.5, None, None]
    assert log.rows[:2] == [LogRow(1, 2, 1.5), LogRow(1, 4, 3.5)]
    assert log.rows[4] == LogRow(1, 10, 9.5, 2.5)
    assert read_log(path) == log.rows
    resumed = MemberLog(path, 1, 200, 8)
    assert resumed.rows == log.rows[:4]
    for step in range(9, 13):
        resumed.add(step, float(step), lambda: 2.5)
    assert resumed.rows == log.rows


def test_what_was_not_measured_is_not_a_number(tmp_path: Path) -> None:
    text = write_log(
        tmp_path / 'log.tsv', [LogRow(1, 5, 0.25), LogRow(2, 5, 0.5, 3.0)]
    ).read_text()
    assert text == 'member\tstep\tloss\tvalidation_mm\n1\t5\t0.25\tn/a\n2\t5\t0.5\t3\n'


def test_a_summary_by_hand() -> None:
    assert summarise(np.array([[1.0, np.nan], [3.0, 2.0]])) == {
        'n': 3,
        'mean': 2.0,
        'sd': 1.0,
        'median': 2.0,
        'p95': pytest.approx(2.9),
        'max': 3.0,
    }
    assert summarise(np.array([np.nan]))['n'] == 0


@pytest.mark.parametrize(
    ('flags', 'fast'), [('fpu avx512_bf16', True), ('amx_bf16', True), ('avx512f', False)]
)
def test_bfloat16_where_the_processor_has_it(tmp_path: Path, flags: str, fast: bool) -> None:
    (tmp_path / 'cpuinfo').write_text(f'flags : {flags}\n')
    assert bfloat16_is_fast('cpu', tmp_path / 'cpuinfo') is fast
    assert not bfloat16_is_fast('cpu', tmp_path / 'absent')
