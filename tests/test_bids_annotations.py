from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tmsprep.bids import BidsError, ImageRef
from tmsprep.bids.annotations import FoundAnnotations, find_annotations
from tmsprep.derivatives.earlier import EXPERT
from tmsprep.methods import method_names


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def images(tmp_path: Path) -> dict[str, list[ImageRef]]:
    """Two participants; the first with two sessions and two runs in the second one."""
    names = [
        'sub-01/ses-A/anat/sub-01_ses-A_T1w.nii.gz',
        'sub-01/ses-B/anat/sub-01_ses-B_run-1_T1w.nii.gz',
        'sub-01/ses-B/anat/sub-01_ses-B_run-2_T1w.nii.gz',
        'sub-02/anat/sub-02_acq-mprage_T1w.nii.gz',
    ]
    root = touch(tmp_path / 'bids', *names)
    (root / 'sub-03' / 'anat').mkdir(parents=True)
    (root / 'sub-01' / 'ses-C').mkdir()
    found: dict[str, list[ImageRef]] = {'01': [], '02': []}
    for name in names:
        image = ImageRef.from_path(root, root / name)
        found[image.subject].append(image)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'points'


def pairs(found: FoundAnnotations) -> list[tuple[str, str, str]]:
    return [(file.image.stem, file.rater, file.path.name) for file in found.files]


def test_all_formats(images: dict, folder: Path) -> None:
    touch(
        folder,
        'sub-02_desc-bob_targets.tsv',
        'sub-02/anat/sub-02_acq-mprage_desc-alice_markups.mrk.json',
        'sub-01/ses-B/anat/sub-01_ses-B_run-02_F.fcsv',
        'sub-01_ses-A_space-T1w_desc-r10_targets.tsv',
        'deep/er/sub-01_ses-A_desc-r9_targets.tsv',
        'sub-02/anat/sub-02_desc-bob_targets.json',
        'participants.tsv',
        '.git/sub-02_desc-carl_targets.tsv',
        '._sub-02_desc-bob_targets.tsv',
    )
    found = find_annotations(images, folder)
    assert pairs(found) == [
        ('sub-01_ses-A', 'r9', 'sub-01_ses-A_desc-r9_targets.tsv'),
        ('sub-01_ses-A', 'r10', 'sub-01_ses-A_space-T1w_desc-r10_targets.tsv'),
        ('sub-01_ses-B_run-2', 'rater', 'sub-01_ses-B_run-02_F.fcsv'),
        ('sub-02_acq-mprage', 'alice', 'sub-02_acq-mprage_desc-alice_markups.mrk.json'),
        ('sub-02_acq-mprage', 'bob', 'sub-02_desc-bob_targets.tsv'),
    ]
    assert (found.problems, found.notes) == ({}, [])


@pytest.mark.parametrize(
    'name',
    [
        'sub-02_desc-ben.mrk.json',
        'sub-02/anat/sub-02_acq-mprage_desc-ben.fcsv',
        'sub-02_desc-ben_T1w.mrk.json',
        'sub-02_desc-ben_targets.TSV',
        'sub-02_desc-ben.MRK.JSON',
        'sub-02_desc-ben_targets.txt',
    ],
)
def test_suffix_and_case(images: dict, folder: Path, name: str) -> None:
    found = find_annotations(images, touch(folder, name))
    assert pairs(found) == [('sub-02_acq-mprage', 'ben', name.rpartition('/')[2])]
    assert (found.problems, found.notes) == ({}, [])


@pytest.mark.parametrize('name', ['sub-02.mrk.json', 'sub-02.fcsv'])
def test_entities_alone(images: dict, folder: Path, name: str) -> None:
    assert pairs(find_annotations(images, touch(folder, name))) == [
        ('sub-02_acq-mprage', 'rater', name)
    ]


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('sub-02_desc-ben.txt', '# Version: 13\n# Coordinate system: NIfTI:S:Scanner\n'),
        ('sub-02_desc-ben.json', '{"markups": []}'),
        ('sub-02_desc-ben_targets.csv', ''),
        ('sub-02_desc-ben_targets.xlsx', ''),
        ('sub-02_desc-ben.tsv', 'label\tx\ty\tz\nLOFC\t1\t2\t3\n'),
        ('sub-02_desc-b-en_targets.tsv', ''),
    ],
)
def test_never_dropped_in_silence(images: dict, folder: Path, name: str, content: str) -> None:
    touch(folder, 'sub-02_targets.tsv', 'sub-02_desc-ben.md', 'README.txt', 'sub-02_dwi.json')
    (folder / name).write_text(content)
    found = find_annotations(images, folder)
    assert [rater for _, rater, _ in pairs(found)] == ['rater']
    (note,) = found.notes
    assert note.endswith(f'and are not used: {name}.')


def test_no_regular_files(images: dict, folder: Path) -> None:
    """What has the name of a file of points is named when it is read, without being opened."""
    (folder / 'sub-02_desc-a_targets.tsv').mkdir(parents=True)
    os.mkfifo(folder / 'sub-02_desc-b_targets.tsv')
    os.mkfifo(folder / 'sub-02_desc-b_more.tsv')
    os.mkfifo(folder / 'notes.txt')
    (folder / 'sub-02_desc-c_targets.tsv').symlink_to('nowhere')
    found = find_annotations(images, folder)
    assert [rater for _, rater, _ in pairs(found)] == ['a', 'b', 'c']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may enter every folder')
def test_closed_folders(images: dict, folder: Path) -> None:
    touch(folder, 'sub-02_targets.tsv', 'sub-01/anat/sub-01_ses-A_targets.tsv')
    (folder / 'sub-01' / 'anat').chmod(0)
    found = find_annotations(images, folder)
    (folder / 'sub-01' / 'anat').chmod(0o700)
    assert [image for image, *_ in pairs(found)] == ['sub-02_acq-mprage']
    ((message,),) = found.problems.values()
    assert message.endswith(
        'sub-01/anat: cannot be entered (Permission denied). Check its permissions.'
    )
    (folder / 'anna').mkdir(mode=0)
    with pytest.raises(BidsError, match='anna: cannot be entered'):
        find_annotations(images, folder)


@pytest.mark.parametrize(
    ('name', 'subject', 'message'),
    [
        ('sub-01_targets.tsv', '01', 'fits several images: sub-01_ses-A_T1w.nii.gz, sub-01_ses-B'),
        ('sub-01_ses-B_targets.tsv', '01', 'several images: .*run-1_T1w.nii.gz, .*run-2_T1w'),
        ('sub-02_run-1_targets.tsv', '02', 'no image of sub-02 .*acq-mprage_T1w.nii.gz'),
        ('sub-01_ses-D_targets.tsv', '01', 'no image of sub-01'),
        ('sub-2_targets.tsv', '2', 'there is no sub-2 in the data set'),
        ('sub-02_space-MNI152NLin6Asym_targets.tsv', '02', 'space MNI152NLin6Asym, not'),
        ('sub-02_acq-a_acq-b_targets.tsv', '02', 'an entity stands twice'),
        ('sub-01/anat/sub-02_targets.tsv', '02', 'folder sub-01, but its name says sub-02'),
        ('sub-01/ses-A/sub-01_targets.tsv', '01', 'folder ses-A, but .* nothing of ses'),
    ],
)
def test_unassigned_file(
    images: dict, folder: Path, name: str, subject: str, message: str
) -> None:
    found = find_annotations(images, touch(folder, name))
    assert found.files == []
    ((person, (text,)),) = found.problems.items()
    assert person == subject
    assert text.startswith(str(folder / name))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(text)


def test_two_files_of_one_rater(images: dict, folder: Path) -> None:
    touch(folder, 'sub-02_desc-a_targets.tsv', 'sub-02_desc-a_F.fcsv', 'sub-02_desc-b_F.fcsv')
    found = find_annotations(images, folder)
    assert [rater for _, rater, _ in pairs(found)] == ['b']
    (message,) = found.problems['02']
    assert 'sub-02_desc-a_targets.tsv' in message
    assert 'sub-02_desc-a_F.fcsv' in message


def test_not_in_this_run(images: dict, folder: Path) -> None:
    touch(folder, 'sub-03_targets.tsv', 'sub-01_ses-C_targets.tsv')
    found = find_annotations(images, folder)
    assert (found.files, found.problems) == ([], {})
    (note,) = found.notes
    assert 'not in this run: sub-01_ses-C_targets.tsv, sub-03_targets.tsv' in note


def test_misnamed_files(images: dict, folder: Path) -> None:
    touch(folder, 'F.mrk.json', 'bob/sub_02.fcsv', 'sub-02_F.fcsv', 'sub-02_targets_v2.tsv')
    (folder / 'mine.tsv').write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\n')
    (folder / 'sub-02_desc-x_points.tsv').write_text('x\ty\tz\tlabel\n')
    found = find_annotations(images, folder)
    assert [name for *_, name in pairs(found)] == ['sub-02_F.fcsv']
    (note,) = found.notes
    for name in ('F.mrk.json', 'bob/sub_02.fcsv', 'mine.tsv', 'sub-02_desc-x_points.tsv'):
        assert name in note


def generated_by(folder: Path, program: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {'Name': 'x', 'BIDSVersion': '1.9.0', 'GeneratedBy': [{'Name': program}]}
    (folder / 'dataset_description.json').write_text(json.dumps(content))


@pytest.mark.parametrize('method', [*method_names(), EXPERT])
@pytest.mark.parametrize('entity', ['', '_protocol-locuscoeruleus'])
def test_own_output(images: dict, folder: Path, method: str, entity: str) -> None:
    name = f'sub-02{entity}_desc-{method}_targets'
    anat = touch(folder / 'sub-02/anat', f'{name}.tsv', f'{name}.json', 'sub-02_desc-a_F.fcsv')
    generated_by(folder, 'tmsprep')
    found = find_annotations(images, anat.parent)
    assert [rater for _, rater, _ in pairs(found)] == ['a']
    (note,) = found.notes
    assert 'Outputs of tmsprep itself' in note
    assert found.problems == {}


@pytest.mark.parametrize('rater', [*method_names(), EXPERT])
def test_rater_with_name_of_method(images: dict, folder: Path, rater: str) -> None:
    generated_by(folder, 'x')
    touch(folder, f'sub-02_desc-{rater}_targets.tsv', f'sub-02_desc-{rater}_targets.json')
    found = find_annotations(images, folder)
    assert [name for _, name, _ in pairs(found)] == [rater]


def test_rater_named_expert(images: dict, folder: Path) -> None:
    generated_by(folder, 'tmsprep')
    # The table of this package never stands without its sidecar.
    touch(folder, 'sub-02_desc-expert_targets.tsv')
    assert [rater for _, rater, _ in pairs(find_annotations(images, folder))] == ['expert']


def test_no_points(images: dict, folder: Path) -> None:
    with pytest.raises(BidsError, match='no such folder'):
        find_annotations(images, folder)
    touch(folder, 'notes.txt', 'F.fcsv')
    with pytest.raises(BidsError, match=r'no file of points here. Name them sub-.*F\.fcsv'):
        find_annotations(images, folder)
