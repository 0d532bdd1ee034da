"""Names of what others have made of an image."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tmsprep.bids.earlier import Earlier, find_earlier, label_folders, program_of
from tmsprep.bids.names import ImageRef
from tmsprep.options import NamedPath

SPACES = ('MNI152NLin2009aSym', 'MNI152NLin2009cAsym')


def image(name: str) -> ImageRef:
    home = '/'.join(part for part in name.split('_') if part.startswith(('sub-', 'ses-')))
    return ImageRef.from_path(Path('/bids'), Path('/bids') / home / 'anat' / f'{name}_T1w.nii.gz')


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def find(name: str, *folders: Path | NamedPath) -> list[Earlier]:
    named = [f if isinstance(f, NamedPath) else NamedPath(f) for f in folders]
    return find_earlier(image(name), named, 'tms', SPACES)


#: Name of the image, mask in the folder, whether it has every entity; None if it is not found.
NAMES = {
    'whole name': ('sub-01_ses-A_run-1', 'sub-01/ses-A/anat/sub-01_ses-A_run-1', True),
    'own output': (
        'sub-01_ses-A_run-1',
        'sub-01/ses-A/anat/sub-01_ses-A_run-1_protocol-tms',
        True,
    ),
    'other protocol': ('sub-01', 'sub-01/anat/sub-01_protocol-other', None),
    'without run': ('sub-01_ses-A_run-1', 'sub-01/ses-A/anat/sub-01_ses-A', False),
    'acquisition kept': (
        'sub-01_ses-A_acq-hi_run-1',
        'sub-01/ses-A/anat/sub-01_ses-A_acq-hi',
        False,
    ),
    'sessions averaged': ('sub-01_ses-A_run-1', 'sub-01/anat/sub-01', False),
    'at the top': ('sub-01_run-1', 'sub-01_run-1', True),
    'other session': ('sub-01_ses-A', 'sub-01/ses-B/anat/sub-01_ses-B', None),
    'more entities': ('sub-01', 'sub-01/anat/sub-01_run-1', None),
    'other participant': ('sub-01', 'sub-011/anat/sub-011', None),
    'other space': ('sub-01', 'sub-01/anat/sub-01_space-MNI152NLin2009cAsym', None),
}


@pytest.mark.parametrize('case', NAMES)
def test_names(tmp_path: Path, case: str) -> None:
    name, stem, exact = NAMES[case]
    touch(tmp_path, f'{stem}_desc-brain_mask.nii.gz')
    found = find(name, tmp_path)
    assert [(earlier.mask, earlier.exact) for earlier in found] == (
        [] if exact is None else [(str(tmp_path / f'{stem}_desc-brain_mask.nii.gz'), exact)]
    )


def test_most_entities_first(tmp_path: Path) -> None:
    stems = ('sub-01', 'sub-01_acq-hi', 'sub-01_acq-hi_run-1')
    for stem in stems:
        touch(tmp_path, f'sub-01/anat/{stem}_desc-brain_mask.nii.gz')
        (earlier,) = find('sub-01_acq-hi_run-1', tmp_path)
        assert earlier.mask.endswith(f'/{stem}_desc-brain_mask.nii.gz')


def test_files_of_fmriprep(tmp_path: Path) -> None:
    stem = 'sub-01/anat/sub-01'
    pair = [
        f'{stem}_from-{a}_to-{b}_mode-image_xfm.h5'
        for a, b in (('T1w', SPACES[1]), (SPACES[1], 'T1w'))
    ]
    touch(
        tmp_path,
        f'{stem}_desc-preproc_T1w.nii.gz',
        f'{stem}_desc-brain_mask.nii.gz',
        f'{stem}_desc-brain_mask.json',
        *pair,
        f'{stem}_from-T1w_to-MNI152Lin_mode-image_xfm.h5',
        'sub-01/anat/sub-01_run-1_from-orig_to-T1w_mode-image_xfm.txt',
    )
    generated = [{'Name': 'fMRIPrep', 'Version': '24.1.1'}, {'Name': 'other'}]
    description = {'Name': 'x', 'BIDSVersion': '1.4.0', 'GeneratedBy': generated}
    (tmp_path / 'dataset_description.json').write_text(json.dumps(description))
    (earlier,) = find('sub-01_run-1', NamedPath(tmp_path, 'prep'))
    assert earlier.tool == 'fMRIPrep 24.1.1'
    assert earlier.head == str(tmp_path / f'{stem}_desc-preproc_T1w.nii.gz')
    assert earlier.transforms == {SPACES[1]: [str(tmp_path / name) for name in pair]}
    assert earlier.sidecars == [str(tmp_path / f'{stem}_desc-brain_mask.json')]
    assert earlier.average
    assert earlier.to_head.endswith('sub-01_run-1_from-orig_to-T1w_mode-image_xfm.txt')
    assert earlier.uris[f'bids:prep:{stem}_desc-brain_mask.nii.gz'] == earlier.mask
    (other,) = find('sub-01_run-2', tmp_path)
    assert (other.average, other.to_head) == (True, '')


def test_average_of_another_session(tmp_path: Path) -> None:
    """Runs of one session were averaged, the other has one image; or all were averaged."""
    end = 'from-orig_to-T1w_mode-image_xfm.txt'
    touch(
        tmp_path,
        'sub-01/ses-A/anat/sub-01_ses-A_desc-brain_mask.nii.gz',
        'sub-01/ses-B/anat/sub-01_ses-B_desc-brain_mask.nii.gz',
        *(f'sub-01/ses-A/anat/sub-01_ses-A_run-{run}_{end}' for run in (1, 2)),
    )
    assert [find(f'sub-01_ses-{s}_run-1', tmp_path)[0].average for s in 'AB'] == [True, False]
    for session in 'AB':
        (
            tmp_path / f'sub-01/ses-{session}/anat/sub-01_ses-{session}_desc-brain_mask.nii.gz'
        ).unlink()
    touch(tmp_path, 'sub-01/anat/sub-01_desc-brain_mask.nii.gz')
    assert [find(f'sub-01_ses-{s}_run-1', tmp_path)[0].average for s in 'AB'] == [True, True]


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_files_of_others(tmp_path: Path) -> None:
    touch(tmp_path, 'sub-01_desc-brain_mask.nii.gz')
    (tmp_path / 'sub-01_desc-brain_mask.nii.gz').chmod(0)
    assert find('sub-01', tmp_path) == []


def test_links_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / 'sub-01_desc-brain_mask.nii.gz').symlink_to('absent')
    (tmp_path / 'sub-01').symlink_to('sub-01')
    assert find('sub-01', tmp_path) == []


FREESURFER = ['sub-01_ses-A', 'sub-01', '01', 'sourcedata/freesurfer/sub-01_ses-A', '']


@pytest.mark.parametrize('home', FREESURFER)
def test_freesurfer(tmp_path: Path, home: str) -> None:
    touch(tmp_path / home / 'mri', 'aseg.mgz', 'orig.mgz', 'nu.mgz')
    (earlier,) = find('sub-01_ses-A', tmp_path)
    assert (earlier.tool, earlier.exact) == ('FreeSurfer', home.endswith('ses-A'))
    assert (earlier.mask, earlier.head) == tuple(
        str(tmp_path / home / 'mri' / name) for name in ('aseg.mgz', 'orig.mgz')
    )
    touch(tmp_path / home / 'mri', 'brainmask.mgz')
    assert find('sub-01_ses-A', tmp_path)[0].mask.endswith('brainmask.mgz')
    assert (find('sub-02_ses-A', tmp_path) == []) == bool(home)


CHARM = ['m2m_sub-01_ses-A', 'm2m_01', 'sub-01/m2m_sub-01', 'sub-01/ses-A/m2m_sub-01_ses-A']


@pytest.mark.parametrize('home', CHARM)
def test_charm(tmp_path: Path, home: str) -> None:
    touch(tmp_path / home, 'T1.nii.gz', 'toMNI/MNI2Conform_nonl.nii.gz')
    assert find('sub-01_ses-A', tmp_path) == []
    touch(tmp_path / home, 'toMNI/Conform2MNI_nonl.nii.gz')
    for folder in (tmp_path, tmp_path / home):
        (earlier,) = find('sub-01_ses-A', folder)
        assert earlier.tool == 'SimNIBS charm'
        assert earlier.mask == ''
        assert list(earlier.transforms) == ['MNI152NLin6Asym']
    assert find('sub-02', tmp_path) == []


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (None, ''),
        ('', ''),
        ('{"GeneratedBy": []}', ''),
        ('{"GeneratedBy": ["x"]}', ''),
        ('{"GeneratedBy": [{"Name": "a\\nb"}]}', 'a\\nb'),
        ('{"GeneratedBy": [{"Name": "sMRIPrep", "Version": 1}]}', 'sMRIPrep 1'),
    ],
)
def test_program(tmp_path: Path, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / 'dataset_description.json').write_text(content)
    assert program_of(tmp_path) == expected


def test_labels() -> None:
    folders = [NamedPath(Path('/a/raw')), NamedPath(Path('/b c')), NamedPath(Path('/d/fs'), 'bc')]
    assert label_folders(folders) == {
        'raw-2': Path('/a/raw'),
        'bc-2': Path('/b c'),
        'bc': Path('/d/fs'),
    }
