"""What is taken from folders of fMRIPrep, FreeSurfer and SimNIBS, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from derivative_trees import PROTOCOL, RIGID, WORLD, brain, charm, corrected, fmriprep, freesurfer
from nibabel.affines import apply_affine

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.shape import read_places
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.methods.syn.files import places_in
from tmsprep.methods.syn.given import Given
from tmsprep.options import NamedPath
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS, SPACES
from tmsprep.tables import read_json, write_json

SYN = get_method('syn')
ANAT = Path('/bids/sub-01/ses-A/anat')
RUN = ImageRef.from_path(Path('/bids'), ANAT / 'sub-01_ses-A_run-2_T1w.nii.gz')
STEM = 'sub-01_ses-A'


@pytest.fixture(scope='module')
def reader() -> Iterator[TransformReader]:
    with TransformReader() as started:
        yield started


def request_of(tmp_path: Path, *folders: str, image: ImageRef = RUN) -> Request:
    """The request for the head, with what is found for it."""
    head, _ = brain()
    nib.save(head, tmp_path / 'conformed.nii')
    named = [NamedPath.parse(folder) for folder in folders]
    found = SYN.image_resources(image, Layout(Path('/out'), 'tms'), named)
    properties = {
        'path': str(image.path),
        'shape': list(head.shape),
        'affine': head.affine.tolist(),
        'sha256': 64 * 'a',
    }
    resources = {**SYN.resources(PROTOCOL, {}), **found}
    return Request(tmp_path / 'conformed.nii', properties, PROTOCOL, resources, folder=tmp_path)


def points_in(space: str) -> np.ndarray:
    """Where the points of the atlas lie in the head, by the matrix that made it."""
    table = places_in(space, Path(SYN.resources(PROTOCOL, {})['atlas_targets']))
    return apply_affine(WORLD, read_places(table, PROTOCOL).coordinates)


def same_brain(mask: nib.Nifti1Image) -> bool:
    return bool((np.asarray(mask.dataobj) == np.asarray(brain()[1].dataobj)).all())


def taken(given: Given) -> list[tuple[str, str]]:
    return [(entry['File'], entry['What']) for entry in given.reused]


def test_fmriprep(tmp_path: Path) -> None:
    """Its names lack run, and its transforms lead to another template."""
    fmriprep(tmp_path / 'derived', STEM)
    outcome = SYN.locate(request_of(tmp_path, f'fmriprep={tmp_path / "derived"}'))
    assert outcome.error is None
    expected = points_in('MNI152NLin2009cAsym')
    np.testing.assert_allclose(outcome.points.coordinates, expected, atol=1e-4)
    assert same_brain(nib.load(outcome.files['mask']))
    details = outcome.details
    assert details['Atlas'] == {'Name': 'MNI152NLin2009cAsym'}
    where = f'bids:fmriprep:sub-01/ses-A/anat/{STEM}'
    assert [(entry['File'], entry['Program']) for entry in details['Reused']] == [
        (f'{where}_desc-brain_mask.nii.gz', 'fMRIPrep 24.1.1'),
        (f'{where}_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5', 'fMRIPrep 24.1.1'),
        (f'{where}_from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.h5', 'fMRIPrep 24.1.1'),
    ]
    assert all(entry['Likeness'] > 0.98 for entry in details['Reused'])
    # That the T1w of fMRIPrep is this image was seen.
    assert outcome.extra['unchecked'] == []
    assert {'NotReused', 'GaveNothing'}.isdisjoint(details)


def test_words_of_the_report(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 'tms')
    table = layout.table(RUN, 'syn')
    moved = {'What': 'transforms to X', 'Likeness': 0.97, 'Program': 'fMRIPrep 24.1.1'}
    mask = {'File': 'bids:fs:brainmask.mgz', 'What': 'brain mask', 'Program': 'FreeSurfer'}
    sidecar = {
        'Atlas': {'Name': 'MNI152NLin2009cAsym'},
        'Reused': [mask, *({'File': f'bids:prep:{name}.h5', **moved} for name in 'ab')],
        'NotReused': ['final_tissues.nii.gz: it is empty'],
        'GaveNothing': ['mine'],
    }
    write_json(table.with_suffix('.json'), sidecar)
    section = SYN.section(RUN, layout)
    assert section.warnings == [
        'Not used of --derivatives: final_tissues.nii.gz: it is empty.',
        '--derivatives mine: had nothing for this image.',
    ]
    words = (
        'from the atlas MNI152NLin2009cAsym, whose points were moved there from '
        'MNI152NLin2009aSym before, by transforms that were not computed here but taken from '
        'fMRIPrep 24.1.1 (bids:prep:a.h5, bids:prep:b.h5; its T1w is this image in this place, '
        'likeness 0.97).'
    )
    assert words in section.methods
    assert 'The brain mask was taken from FreeSurfer (bids:fs:brainmask.mgz).' in section.methods
    # Anybody may have written it.
    for damaged in ({'Reused': 'x', 'NotReused': 7}, {'Reused': ['x', {}], 'GaveNothing': None}):
        write_json(table.with_suffix('.json'), damaged)
        assert 'symmetric diffeomorphic registration' in SYN.section(RUN, layout).methods


def average(root: Path) -> None:
    """Two runs were averaged, and the average lies elsewhere than the second run."""
    fmriprep(root, STEM, np.linalg.inv(RIGID) @ WORLD)
    anat = root / 'sub-01' / 'ses-A' / 'anat'
    for run, matrix in ((1, np.eye(4)), (2, RIGID)):
        path = anat / f'{STEM}_run-{run}_from-orig_to-T1w_mode-image_xfm.txt'
        write_linear(matrix, path)


def test_average_of_runs(tmp_path: Path, reader: TransformReader) -> None:
    average(tmp_path / 'derived')
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    mask = given.mask()
    assert same_brain(mask)
    pair = given.transforms(default_atlas(PROTOCOL).mask, mask)
    table = places_in(pair.space, Path(SYN.resources(PROTOCOL, {})['atlas_targets']))
    places = read_places(table, PROTOCOL).coordinates
    np.testing.assert_allclose(
        reader.move(places, pair.to_atlas), points_in(pair.space), atol=1e-4
    )
    np.testing.assert_allclose(
        reader.move(points_in(pair.space), pair.from_atlas), places, atol=1e-4
    )
    assert f'bids:derived:sub-01/ses-A/anat/{STEM}_run-2_from-orig' in str(taken(given)[-1])


def test_average_without_the_way_back(tmp_path: Path, reader: TransformReader) -> None:
    average(tmp_path / 'derived')
    anat = tmp_path / 'derived' / 'sub-01' / 'ses-A' / 'anat'
    (anat / f'{STEM}_run-2_from-orig_to-T1w_mode-image_xfm.txt').unlink()
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.mask() is None
    assert given.transforms(default_atlas(PROTOCOL).mask, None) is None
    assert given.refused == [
        f'{STEM}_{what}: the T1w of fMRIPrep 24.1.1 is an average of several images, and there is '
        'no from-orig_to-T1w transform of this one'
        for what in (
            'desc-brain_mask.nii.gz',
            'from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5',
        )
    ]


def test_stretched_average(tmp_path: Path, reader: TransformReader) -> None:
    average(tmp_path / 'derived')
    anat = tmp_path / 'derived' / 'sub-01' / 'ses-A' / 'anat'
    path = anat / f'{STEM}_run-2_from-orig_to-T1w_mode-image_xfm.txt'
    write_linear(np.diag([1.1, 1, 1, 1]), path)
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.mask() is None
    assert given.refused[0].endswith('does more than turn and shift the head')


OTHERS = {
    'moved by 4 mm': np.array([[1.0, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    'mirrored': np.diag([-1.0, 1, 1, 1]),
}


@pytest.mark.parametrize('case', OTHERS)
@pytest.mark.parametrize('program', [fmriprep, freesurfer, charm])
def test_other_image(tmp_path: Path, reader: TransformReader, program: Any, case: str) -> None:
    """A head that lies elsewhere, or another one, gives nothing, whatever its name."""
    program(tmp_path / 'derived', STEM, OTHERS[case] @ WORLD)
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.mask() is None
    assert given.transforms(default_atlas(PROTOCOL).mask, None) is None
    assert given.reused == []
    assert given.refused
    for reason in given.refused:
        assert 'beside it is not this image, or lies elsewhere (likeness' in reason


def test_name_of_another_image(tmp_path: Path, reader: TransformReader) -> None:
    """Without the T1w, only the whole name tells which image a mask is of."""
    fmriprep(tmp_path / 'derived', STEM)
    anat = tmp_path / 'derived' / 'sub-01' / 'ses-A' / 'anat'
    (anat / f'{STEM}_desc-preproc_T1w.nii.gz').unlink()
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.mask() is None
    assert 'its name is not that of the image' in given.refused[0]
    exact = ImageRef.from_path(Path('/bids'), ANAT / f'{STEM}_T1w.nii.gz')
    given = Given(request_of(tmp_path, str(tmp_path / 'derived'), image=exact), reader)
    assert same_brain(given.mask())
    assert given.unchecked == ['mask']


def test_freesurfer(tmp_path: Path, reader: TransformReader) -> None:
    """Where fMRIPrep keeps it; what users have erased is not brain."""
    freesurfer(tmp_path / 'derived' / 'sourcedata' / 'freesurfer', 'sub-01')
    given = Given(request_of(tmp_path, f'fs={tmp_path / "derived"}'), reader)
    mask = np.asarray(given.mask().dataobj)
    expected = np.asarray(brain()[1].dataobj).copy()
    assert expected[42, 52, 62] == 1
    expected[40:44, 50:54, 60:64] = 0
    assert (mask == expected)[1:-1, 1:-1, 1:-1].all()
    (entry,) = given.reused
    assert entry['File'] == 'bids:fs:sourcedata/freesurfer/sub-01/mri/brainmask.mgz'
    assert entry['Program'] == 'FreeSurfer'


def test_labels_of_freesurfer(tmp_path: Path, reader: TransformReader) -> None:
    """Sulci and ventricles between labels are closed."""
    mri = freesurfer(tmp_path / 'derived', STEM) / STEM / 'mri'
    (mri / 'brainmask.mgz').unlink()
    _, mask = brain()
    labels = np.asarray(mask.dataobj, np.int32) * 1024
    labels[48:50, 50:54, 40:44] = 0
    nib.save(nib.MGHImage(labels, mask.affine), mri / 'aparc+aseg.mgz')
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    closed = np.asarray(given.mask().dataobj)
    assert (closed[48:50, 50:54, 40:44] == 1).all()
    lost = (closed < np.asarray(mask.dataobj))[1:-1, 1:-1, 1:-1]
    # Voxels that are not joined to the brain.
    assert lost.sum() < 20


def test_charm(tmp_path: Path, reader: TransformReader) -> None:
    charm(tmp_path / 'derived', '01')
    given = Given(request_of(tmp_path, f'charm={tmp_path / "derived"}'), reader)
    mask = given.mask()
    inside, expected = np.asarray(mask.dataobj), np.asarray(brain()[1].dataobj)
    assert (inside[46:50, 50:56, 40:50] == 1).all()
    assert (inside >= expected).all()
    assert inside.sum() < 1.1 * expected.sum()
    pair = given.transforms(default_atlas(PROTOCOL).mask, mask)
    assert pair.space == 'MNI152NLin6Asym'
    table = places_in(pair.space, Path(SYN.resources(PROTOCOL, {})['atlas_targets']))
    places = read_places(table, PROTOCOL).coordinates
    expected = points_in('MNI152NLin6Asym')
    np.testing.assert_allclose(reader.move(places, pair.to_atlas), expected, atol=1e-3)
    np.testing.assert_allclose(reader.move(expected, pair.from_atlas), places, atol=1e-3)
    assert taken(given) == [
        ('bids:charm:m2m_01/final_tissues.nii.gz', 'brain mask'),
        *(
            (f'bids:charm:m2m_01/toMNI/{name}_nonl.nii.gz', 'transforms to MNI152NLin6Asym')
            for name in ('MNI2Conform', 'Conform2MNI')
        ),
    ]


def test_damaged_field(tmp_path: Path, reader: TransformReader) -> None:
    folder = charm(tmp_path / 'derived', '01') / 'm2m_01' / 'toMNI'
    head, _ = brain()
    nib.save(head, folder / 'MNI2Conform_nonl.nii.gz')
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.transforms(default_atlas(PROTOCOL).mask, given.mask()) is None
    assert 'not a volume of numbers (shape (99, 117, 95))' in given.refused[0]
    four = np.stack([np.asarray(head.dataobj)] * 4, axis=-1)
    nib.save(nib.Nifti1Image(four, head.affine), folder / 'MNI2Conform_nonl.nii.gz')
    given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
    assert given.transforms(default_atlas(PROTOCOL).mask, given.mask()) is None
    assert 'three coordinates per voxel are needed' in given.refused[0]


@pytest.mark.parametrize('name', ['desc-preproc_T1w', 'desc-brain_mask'])
def test_not_a_volume(tmp_path: Path, reader: TransformReader, name: str) -> None:
    """Colours and series are no heads and no masks; what is left is used."""
    fmriprep(tmp_path / 'derived', STEM)
    path = tmp_path / 'derived' / 'sub-01' / 'ses-A' / 'anat' / f'{STEM}_{name}.nii.gz'
    shape = np.zeros((8, 8, 8), [('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
    for data in (shape, np.zeros((8, 8, 8, 2), np.int16)):
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        given = Given(request_of(tmp_path, str(tmp_path / 'derived')), reader)
        assert given.mask() is None
        assert f'{STEM}_desc-brain_mask.nii.gz: ' in given.refused[0]
        assert 'not a volume of numbers' in given.refused[0]
    pair = given.transforms(default_atlas(PROTOCOL).mask, None)
    assert (pair is None) == (name == 'desc-preproc_T1w')


def test_points_of_another_protocol(tmp_path: Path, reader: TransformReader) -> None:
    """Own points are known in the default template alone."""
    fmriprep(tmp_path / 'derived', STEM)
    request = request_of(tmp_path, str(tmp_path / 'derived'))
    own = tmp_path / 'own.tsv'
    own.touch()
    request.resources['atlas_targets'] = str(own)
    given = Given(request, reader)
    assert given.transforms(default_atlas(PROTOCOL).mask, None) is None
    assert (
        f'are known in {DEFAULT_ATLAS} alone; a table own_MNI152NLin2009cAsym.tsv'
        in given.refused[0]
    )


def test_first_folder_wins(tmp_path: Path, reader: TransformReader) -> None:
    freesurfer(tmp_path / 'one', STEM)
    fmriprep(tmp_path / 'two', STEM)
    (tmp_path / 'three').mkdir()
    folders = [str(tmp_path / name) for name in ('one', 'two', 'three')]
    request = request_of(tmp_path, *folders)
    assert request.resources['gave_nothing'] == ['three']
    given = Given(request, reader)
    mask = given.mask()
    assert given.transforms(default_atlas(PROTOCOL).mask, mask).space == 'MNI152NLin2009cAsym'
    assert [uri.split(':')[1] for uri, _ in taken(given)] == ['one', 'two', 'two']


def test_folder_without_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / 'empty').mkdir()
    request = request_of(tmp_path, f'mine={tmp_path / "empty"}')
    request.resources['preset'] = 'unknown'
    outcome = SYN.locate(request)
    assert outcome.details['GaveNothing'] == ['mine']
    assert f'--derivatives mine: has nothing that may be read for {RUN.path}' in caplog.text


def test_corrected() -> None:
    """The heads of these tests differ in all that programs change."""
    head, _ = brain()
    other = corrected(head)
    assert nib.aff2axcodes(other.affine) != nib.aff2axcodes(head.affine)
    assert not np.array_equal(other.affine, head.affine)


@pytest.mark.parametrize('space', SPACES[1:])
def test_points_in_other_templates(space: str) -> None:
    """They lie where the averages of MNI differ by little, on the same side of the head."""
    default = default_atlas(PROTOCOL).points
    table = places_in(space, PROTOCOL.file(PROTOCOL.atlas['points']))
    places = read_places(table, PROTOCOL)
    assert places.labels == default.labels
    away = np.linalg.norm(places.coordinates - default.coordinates, axis=1)
    sidecar = read_json(table.with_suffix('.json'))
    assert sidecar['Template']['Name'] == space
    low, high = away.min(), away.max()
    assert f'moved by {low:.1f} to {high:.1f} mm' in sidecar['Mapping']['Shift']
    assert high < 3.5
    assert (np.sign(places.coordinates[:, 0]) == np.sign(default.coordinates[:, 0])).all()
    text = table.read_text().splitlines()
    assert set(text[0].split('\t')) <= set(sidecar)
    uncertain = max(float(line.split('\t')[-1]) for line in text[1:])
    assert f'at most {uncertain:.2f} mm from their mean' in sidecar['Mapping']['Accuracy']
