from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path, PurePosixPath
from shutil import which
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.bids import (
    BidsError,
    ImageQuery,
    ImageRef,
    derivative_path,
    find_images,
    write_dataset_description,
)
from tmsprep.bids.description import link_to_raw
from tmsprep.bids.filters import load_filters
from tmsprep.bids.index import has_database, list_images
from tmsprep.bids.names import EXTENSIONS, labels_in, natural_key, refused_labels
from tmsprep.config import GroupConfig
from tmsprep.protocols import load_protocol
from tmsprep.text import printable

TMS = load_protocol('tms')
ANAT = 'sub-01/ses-A/anat/sub-01_ses-A'


def dataset(root: Path, *names: str, **description: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    content = {'Name': 'test', 'BIDSVersion': '1.9.0', **description}
    (root / 'dataset_description.json').write_text(json.dumps(content))
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def stems(root: Path, wanted: dict[str, Any] | None = None, **query: Any) -> list[str]:
    filters = {} if wanted is None else {'t1w': wanted}
    found = find_images(ImageQuery(root, filters=filters, **query))
    return [image.stem for images in found.images.values() for image in images]


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """Data set of two participants, one with two sessions, and all kinds of images."""
    return dataset(
        tmp_path / 'bids',
        f'{ANAT}_run-2_T1w.nii.gz',
        f'{ANAT}_run-10_T1w.nii.gz',
        f'{ANAT}_acq-mprage_T1w.nii.gz',
        f'{ANAT}_ce-gd_T1w.nii',
        f'{ANAT}_part-mag_T1w.nii.gz',
        f'{ANAT}_part-phase_T1w.nii.gz',
        f'{ANAT}_T2w.nii.gz',
        f'{ANAT}_UNIT1.nii.gz',
        'sub-01/ses-B/anat/sub-01_ses-B_T1w.nii.gz',
        'sub-01/ses-B/func/sub-01_ses-B_task-rest_bold.nii.gz',
        'sub-002/anat/sub-002_T1w.nii.gz',
        'derivatives/x/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz',
        'sourcedata/sub-01/anat/sub-01_T1w.nii.gz',
        'out/sub-002/anat/sub-002_run-9_T1w.nii.gz',
    )


def test_order(rich: Path) -> None:
    found = find_images(ImageQuery(rich))
    assert found.problems == {}
    assert list(found.images) == ['01', '002']
    assert [image.stem for image in found.images['01']] == [
        'sub-01_ses-A_acq-mprage',
        'sub-01_ses-A_ce-gd',
        'sub-01_ses-A_part-mag',
        'sub-01_ses-A_run-2',
        'sub-01_ses-A_run-10',
        'sub-01_ses-B',
    ]
    image = found.images['002'][0]
    assert image.path == rich / 'sub-002/anat/sub-002_T1w.nii.gz'
    assert (image.subject, image.session, image.entities) == ('002', None, {'sub': '002'})
    assert image.uri == 'bids:raw:sub-002/anat/sub-002_T1w.nii.gz'


@pytest.mark.parametrize(
    ('query', 'expected'),
    [
        ({'run': 2}, ['run-2']),
        ({'run': '02'}, ['run-2']),
        ({'run': '*', 'part': None}, ['run-2', 'run-10']),
        ({'part': 'phase'}, ['part-phase']),
        ({'acquisition': ['mprage', 'x']}, ['acq-mprage']),
        ({'acquisition': [None, '*'], 'ceagent': 'gd'}, ['ce-gd']),
        ({'extension': 'nii'}, ['ce-gd']),
        ({'session': 'a'}, []),
        ({'session': ['B', 'C']}, ['ses-B']),
    ],
)
def test_filters(rich: Path, query: dict[str, Any], expected: list[str]) -> None:
    found = stems(rich, query, participants=('01',))
    assert [stem.rpartition('_')[2] for stem in found] == expected


def test_presets(rich: Path) -> None:
    def chosen(preset: str) -> list[str]:
        return stems(rich, load_filters(preset)['t1w'])

    assert chosen('mp2rage_uni') == ['sub-01_ses-A']
    assert len(chosen('t1w')) == 6
    assert 'sub-01_ses-A_ce-gd' not in chosen('t1w')
    assert chosen('first_session') == []
    other = dataset(
        rich.parent / 'other',
        *(f'sub-1/ses-{s}/anat/sub-1_ses-{s}_T1w.nii.gz' for s in ('01', '02')),
    )
    assert stems(other, load_filters('first_session')['t1w']) == ['sub-1_ses-01']


def test_shipped_presets() -> None:
    names = [p.name for p in files('tmsprep.bids_filters').iterdir() if p.name.endswith('.json')]
    assert len(names) >= 3
    for name in names:
        assert load_filters(name) == load_filters(name.removesuffix('.json'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'cannot be read as JSON'),
        ('[]', 'must read'),
        ('{"bold": {}}', r"unknown query 'bold' \(known: t1w\)"),
        ('{"t1w": {"acq": "x"}}', "unknown key 'acq'; did you mean 'acquisition'"),
        ('{"t1w": {"sesion": "x"}}', "unknown key 'sesion'; did you mean 'session'"),
        ('{"t1w": {"subject": "01"}}', '--participant-label'),
        ('{"t1w": {"run": 1.5}}', 'run must be text'),
        ('{"t1w": {"run": []}}', 'run must be text'),
        ('{"t1w": {"run": {"a": 1}}}', 'run must be text'),
    ],
)
def test_wrong_filters(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / 'filters.json'
    path.write_text(content)
    with pytest.raises(BidsError, match=message) as caught:
        load_filters(path)
    assert str(path) in str(caught.value)


def test_unknown_preset() -> None:
    with pytest.raises(BidsError, match=r'nope: no such .* mp2rage_uni, neuromelanin, t1w'):
        load_filters('nope')


def test_sessions(rich: Path) -> None:
    assert stems(rich, sessions=('B',)) == ['sub-01_ses-B']


def test_nothing_found(rich: Path) -> None:
    filters = {'t1w': {'run': 3, 'ceagent': None}}
    found = find_images(ImageQuery(rich, sessions=('A',), filters=filters))
    assert found.images == {'01': [], '002': []}
    message = found.problems['01'][0]
    for part in (
        f'sub-01: no image found. Looked in {rich / "sub-01"}',
        'suffix = T1w, part = absent or mag, run = 3, ceagent = absent, session = A',
        'ses-A/anat/sub-01_ses-A_T2w.nii.gz',
        'Sessions there: A, B',
    ):
        assert part in message


def test_unknown_participant(rich: Path) -> None:
    with pytest.raises(BidsError, match=r'no 1, 2 in .*; there are: 01, 002'):
        find_images(ImageQuery(rich, participants=('1', '2', '002')))
    with pytest.raises(BidsError, match='no participants'):
        find_images(ImageQuery(dataset(rich.parent / 'empty')))


@pytest.mark.parametrize(
    'place', ['données d’élève/my data', 'sub-lab/ses-9/anat', 'me_run-2_acq-x', 'a#b?c%20d']
)
@pytest.mark.parametrize('database', [False, True])
def test_odd_parent_folders(tmp_path: Path, place: str, database: bool) -> None:
    root = dataset(tmp_path / place / 'bids', 'sub-01/anat/sub-01_T1w.nii.gz')
    settings = {'database_dir': tmp_path / 'data base'} if database else {}
    found = find_images(ImageQuery(root, **settings))
    (image,) = found.images['01']
    assert image.path == root / 'sub-01/anat/sub-01_T1w.nii.gz'
    assert image.entities == {'sub': '01'}


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('sub-01/anat/sub-01_acq-my scan_T1w.nii.gz', 'no space'),
        ('sub-01/anat/sub-01_acq-né_T1w.nii.gz', 'Rename the file'),
        ('sub-01/anat/sub-01_acq-a_acq-b_T1w.nii.gz', 'stands twice'),
        ('sub-01/anat/sub-02_T1w.nii.gz', 'belongs at sub-02/anat/sub-02_T1w.nii.gz'),
        ('sub-01/anat/sub-01_ses-A_T1w.nii.gz', 'belongs at sub-01/ses-A/anat'),
        ('sub-01/anat/T1w.nii.gz', 'not a BIDS file name'),
        ('sub-01/anat/sub-01_desc-preproc_T1w.nii.gz', 'desc-preproc in its name marks'),
        ('sub-01/anat/sub-01_protocol-tms_T1w.nii.gz', 'protocol-tms in its name marks'),
        ('sub-01/anat/sub-01_res-1_label-x_T1w.nii', 'label-x and res-1 in its name'),
        ('sub-01/anat/sub-01_space-MNI152NLin6Asym_T1w.nii.gz', 'in the space MNI152NLin6Asym'),
        (f'sub-01/anat/sub-01_acq-{"x" * 150}_T1w.nii.gz', 'too long for those of outputs'),
    ],
)
def test_wrong_names(tmp_path: Path, name: str, problem: str) -> None:
    root = dataset(tmp_path / 'bids', 'sub-01/anat/sub-01_T1w.nii.gz', name)
    found = find_images(ImageQuery(root))
    assert [image.stem for image in found.images['01']] == ['sub-01']
    (message,) = found.problems['01']
    assert message.startswith(f'{root / name}: ')
    assert problem in message


@pytest.mark.parametrize('space', ['T1w', 'orig', 'scanner'])
def test_space_of_scanner(tmp_path: Path, space: str) -> None:
    root = dataset(tmp_path / 'bids', f'sub-01/anat/sub-01_space-{space}_T1w.nii.gz')
    assert stems(root) == [f'sub-01_space-{space}']


def test_one_wrong_name(tmp_path: Path) -> None:
    """The name of one participant's image is no problem of the others."""
    names = ('sub-bad/anat/sub-bad_desc-preproc_T1w.nii.gz', 'sub-good/anat/sub-good_T1w.nii.gz')
    found = find_images(ImageQuery(dataset(tmp_path / 'bids', *names)))
    assert [image.stem for image in found.images['good']] == ['sub-good']
    assert list(found.problems) == ['bad']
    assert 'expert' not in found.problems['bad'][0]


@pytest.mark.parametrize(
    ('extension', 'remedy'),
    [
        ('.NII.GZ', 'mv {0}.NII.GZ {0}.nii.gz'),
        ('.Nii', 'mv {0}.Nii {0}.nii'),
        ('.mgz', 'nib-convert {0}.mgz {0}.nii.gz'),
        ('.MGH', 'nib-convert {0}.MGH {0}.nii.gz'),
        ('.mif', 'mrconvert {0}.mif {0}.nii.gz'),
        ('.nii.bz2', 'bunzip2 {0}.nii.bz2'),
        ('.img', 'Convert the DICOM files again (dcm2niix)'),
    ],
)
@pytest.mark.parametrize('database', [False, True])
def test_other_formats(tmp_path: Path, extension: str, remedy: str, database: bool) -> None:
    stem = 'sub-01/ses-A/anat/sub-01_ses-A_T1w'
    root = dataset(tmp_path / 'bids', f'{stem}{extension}', 'sub-01/ses-B/anat/x')
    settings = {'database_dir': tmp_path / 'database'} if database else {}
    (message,) = find_images(ImageQuery(root, **settings)).problems['01']
    assert message.startswith(f'{root / stem}{extension}: ')
    assert message.endswith(remedy.format(root / stem) + ('.' if extension == '.img' else ''))


def test_pair_of_nifti(tmp_path: Path) -> None:
    root = dataset(tmp_path / 'bids', 'sub-01/anat/sub-01_T1w.json')
    image = nib.Nifti1Pair(np.ones((4, 4, 4)), np.eye(4))
    nib.save(image, root / 'sub-01/anat/sub-01_T1w.img')
    (message,) = find_images(ImageQuery(root)).problems['01']
    assert 'Run: nib-convert' in message
    assert message.count('sub-01_T1w.img') == 2


def test_other_formats_beside(tmp_path: Path) -> None:
    """Only images that are asked for and that have no readable copy are named."""
    root = dataset(
        tmp_path / 'bids',
        'sub-01/anat/sub-01_T1w.nii.gz',
        'sub-01/anat/sub-01_T1w.mgz',
        'sub-01/anat/sub-01_T2w.mgz',
        'sub-01/anat/sub-01_acq-x_T1w.mgz',
        'sub-01/anat/sub-01_part-phase_T1w.mgz',
        'sub-01/anat/.sub-01_run-1_T1w.mgz',
    )
    found = find_images(ImageQuery(root))
    assert [image.stem for image in found.images['01']] == ['sub-01']
    (message,) = found.problems['01']
    assert 'sub-01_acq-x_T1w.mgz: only .nii and .nii.gz are read' in message


ODD_LABELS = {
    'José': 'José',
    'a b': 'a b',
    "it's": "it's",
    'x_1': 'x_1',
    '01\n--sloppy': '01\\n--sloppy',
    '$(id)': '$(id)',
    '*': '*',
    os.fsdecode(b'x\xff'): 'x\\xff',
    '\u0661': '\u0661',
    '\x1b[2J': '\\x1b[2J',
    'x' * 200: 'x' * 200,
    '': '',
}


@pytest.mark.parametrize('label', ODD_LABELS)
def test_odd_labels(tmp_path: Path, label: str) -> None:
    root = dataset(tmp_path / 'bids', 'sub-01/anat/sub-01_T1w.nii.gz')
    (root / f'sub-{label}' / 'anat').mkdir(parents=True)
    found = find_images(ImageQuery(root))
    assert {key: len(images) for key, images in found.images.items()} == {'01': 1}
    assert found.problems == {}
    assert list(found.refused) == [ODD_LABELS[label]]
    (message,) = found.refused.values()
    assert message.startswith(f'sub-{ODD_LABELS[label]}: not a BIDS label of a participant. ')
    assert f'Rename the folder in {root} and its files' in message
    assert find_images(ImageQuery(root, participants=('01',))).refused == {}


@given(st.text(st.characters(exclude_characters='/\0', codec='utf-8'), max_size=60))
def test_any_label(tmp_path_factory: pytest.TempPathFactory, label: str) -> None:
    root = tmp_path_factory.mktemp('bids')
    (root / 'sub-01').mkdir()
    (root / f'sub-{label}').mkdir(exist_ok=True)
    kept = bool(re.fullmatch('[a-zA-Z0-9+]+', label))
    assert labels_in(root, 'sub') == sorted({'01', label} if kept else {'01'}, key=natural_key)
    assert len(refused_labels(root)) == (not kept)
    assert all(printable(shown) == shown for shown in refused_labels(root))


@given(st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 47} & {*name}))
def test_any_file_name(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    root = dataset(tmp_path_factory.mktemp('bids'), 'sub-01/anat/sub-01_T1w.nii.gz')
    if name not in (b'.', b'..'):
        (root / 'sub-01' / 'anat' / os.fsdecode(name + b'_T1w.nii')).touch()
    found = find_images(ImageQuery(root))
    assert [image.stem for image in found.images['01']][-1:] == ['sub-01']


def test_foreign_bytes_in_names(tmp_path: Path) -> None:
    root = dataset(tmp_path / 'bids', *(f'sub-{s}/anat/sub-{s}_T1w.nii.gz' for s in ('1', '2')))
    for name in (b'notes_f\xfcr.txt', b'sub-1_acq-\xe9_T1w.nii.gz'):
        (root / 'sub-1' / 'anat' / os.fsdecode(name)).touch()
    (root / os.fsdecode(b'sub-2/\xff')).mkdir()
    for database in (None, tmp_path / 'database'):
        found = find_images(ImageQuery(root, database_dir=database))
        assert {key: len(images) for key, images in found.images.items()} == {'1': 1, '2': 1}
    # A database cannot hold such names.
    (message,) = find_images(ImageQuery(root)).problems['1']
    assert 'not a BIDS file name' in message


@pytest.mark.parametrize('kind', ['pipe', 'socket', 'device'])
@pytest.mark.parametrize('database', [False, True])
def test_special_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, database: bool
) -> None:
    root = dataset(tmp_path / 'bids', 'sub-1/anat/sub-1_T1w.nii.gz', 'sub-2/README')
    monkeypatch.chdir(root / 'sub-2')
    Path('anat').mkdir()
    for path in (Path('anat/sub-2_T1w.nii.gz'), Path('anat/sub-2_T1w.json')):
        make_special(path, kind)
    found = find_images(ImageQuery(root, database_dir=tmp_path / 'db' if database else None))
    assert [len(found.images[label]) for label in '12'] == [1, 0]
    (message,) = found.problems['2']
    if database:
        # It is left out of the database.
        assert 'no image found' in message
    else:
        assert message.startswith(f'{root}/sub-2/anat/sub-2_T1w.nii.gz: a {kind}, not a file')


def make_special(path: Path, kind: str) -> None:
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'device':
        path.symlink_to('/dev/zero')
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))


HOSTILE = {
    'layout_config.json': '{"name": "x", "entities": [{"name": "a"',
    'sub-2_T1w.json': '[' * 100_000,
    'sub-2_task-x_bold.json': '{"a": ' * 100_000,
    'sub-2_T2w.json': '"no object"',
}


@pytest.mark.parametrize('database', [False, True])
def test_hostile_files(tmp_path: Path, database: bool) -> None:
    names = [f'sub-{label}/anat/sub-{label}_T1w.nii.gz' for label in '123']
    root = dataset(tmp_path / 'bids', *names)
    for name, content in HOSTILE.items():
        (root / 'sub-2' / 'anat' / name).write_text(content)
    (root / 'sub-2' / 'loop').symlink_to('..')
    (root / 'sub-2' / 'anat' / 'loop').symlink_to('.')
    (root / 'sub-2' / 'anat' / 'nowhere').symlink_to('nowhere')
    found = find_images(ImageQuery(root, database_dir=tmp_path / 'db' if database else None))
    assert found.problems == {}
    assert {key: len(images) for key, images in found.images.items()} == dict.fromkeys('123', 1)
    assert has_database(tmp_path / 'db') is database


# The user's rights are given up after the imports: they may not cover the installation.
CLOSED = """
import os, sys
from pathlib import Path
from tmsprep.bids import ImageQuery, find_images
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
found = find_images(ImageQuery(Path(sys.argv[1])))
for label, images in found.images.items():
    print(label, len(images), *found.problems.get(label, ()))
"""


@pytest.mark.parametrize('mode', [0o000, 0o444])
@pytest.mark.parametrize('place', ['sub-2', 'sub-2/anat', 'sub-2/ses-A'])
def test_closed_folder(place: str, mode: int) -> None:
    # Not below pytest's folders, which are for one user.
    with tempfile.TemporaryDirectory() as folder:
        root = dataset(
            Path(folder) / 'bids',
            *(f'sub-{label}/anat/sub-{label}_T1w.nii.gz' for label in '123'),
            'sub-2/ses-A/anat/sub-2_ses-A_T1w.nii.gz',
        )
        Path(folder).chmod(0o755)
        (root / place).chmod(mode)
        run = subprocess.run(
            [sys.executable, '-c', CLOSED, root], capture_output=True, text=True, check=False
        )
        (root / place).chmod(0o755)
    assert run.stderr == ''
    lines = run.stdout.splitlines()
    assert [lines[0], lines[2]] == ['1 1', '3 1']
    assert f'bids/{place}' in lines[1]
    assert 'cannot be read (Permission denied). Check its permissions' in lines[1]


def test_shared_output_names(tmp_path: Path) -> None:
    names = [f'sub-01/anat/sub-01_T1w{extension}' for extension in ('.nii', '.nii.gz')]
    found = find_images(ImageQuery(dataset(tmp_path / 'bids', *names)))
    assert found.images == {'01': []}
    for name in names:
        assert str(tmp_path / 'bids' / name) in found.problems['01'][0]


def test_broken_link(tmp_path: Path) -> None:
    root = dataset(tmp_path / 'bids', 'sub-01/anat/sub-01_T2w.nii.gz')
    (root / 'sub-01/anat/sub-01_T1w.nii.gz').symlink_to('../.git/annex/x')
    assert stems(root) == ['sub-01']


def test_database(rich: Path) -> None:
    database = rich.parent / 'database'
    settings = {'database_dir': database, 'participants': ('002',)}
    assert stems(rich, **settings) == ['sub-002']
    assert not database.exists()
    assert 'sub-002' in stems(rich, database_dir=database)
    assert [path.name for path in database.parent.iterdir() if path.name.startswith('.')] == []
    (rich / 'sub-002/anat/sub-002_run-2_T1w.nii.gz').touch()
    assert stems(rich, **settings) == ['sub-002']
    late = rich / 'sub-003/anat/sub-003_T1w.nii.gz'
    late.parent.mkdir(parents=True)
    late.touch()
    problems = find_images(ImageQuery(rich, database_dir=database)).problems
    assert f'If {database} is older than the data, delete it.' in problems['003'][0]
    other = dataset(rich.parent / 'other', 'sub-01/anat/sub-01_T1w.nii.gz')
    with pytest.raises(BidsError, match='this PyBIDS database is of'):
        stems(other, database_dir=database)


@pytest.mark.parametrize('few', [0, 50])
@pytest.mark.parametrize('database', [False, True])
def test_few_and_many(
    rich: Path, monkeypatch: pytest.MonkeyPatch, few: int, database: bool
) -> None:
    (rich / 'sub-0021/anat').mkdir(parents=True)
    (rich / 'sub-0021/anat/sub-0021_T1w.nii.gz').touch()
    (rich / 'sub-002/anat/sub-002_T1w.nii.gz.txt').touch()
    monkeypatch.setattr('tmsprep.bids.index.FEW', few)
    folder = rich.parent / 'database' if database else None
    there = [path.relative_to(rich) for path in rich.glob('sub-*/**/anat/*.nii*')]
    expected = [
        p for p in there if p.parts[0] in ('sub-01', 'sub-002') and p.name.endswith(EXTENSIONS)
    ]
    found = list_images(rich, ['01', '002'], folder)
    assert [path.relative_to(rich) for path in found.files] == sorted(expected)
    assert found.problems == {}
    assert len(expected) > 2


def test_label_with_slash(rich: Path) -> None:
    with pytest.raises(BidsError, match='no 002/anat in'):
        find_images(ImageQuery(rich, participants=('002/anat',)))


def test_derivatives_keep_all_entities() -> None:
    path = Path('/b/sub-01/ses-A/anat/sub-01_ses-A_acq-x_run-01_T1w.nii.gz')
    image = ImageRef.from_path(Path('/b'), path)
    stem = 'sub-01_ses-A_acq-x_run-01'
    assert image.relative_path == PurePosixPath(f'sub-01/ses-A/anat/{stem}_T1w.nii.gz')
    table = derivative_path(Path('/o'), image, desc='cnn', suffix='targets', extension='.tsv')
    assert table == Path(f'/o/sub-01/ses-A/anat/{stem}_desc-cnn_targets.tsv')
    entities = {'from': 'T1w', 'to': 'MNI152NLin2009aSym', 'mode': 'image'}
    transform = derivative_path(Path('/o'), image, suffix='xfm', extension='.h5', **entities)
    assert transform.name == f'{stem}_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5'
    figure = derivative_path(
        Path('/o'), image, desc='targets', suffix='T1w', extension='.svg', folder='figures'
    )
    assert figure == Path(f'/o/sub-01/ses-A/figures/{stem}_desc-targets_T1w.svg')


def test_refused_derivative_names() -> None:
    image = ImageRef.from_path(Path('/b'), Path('/b/sub-01/anat/sub-01_acq-x_T1w.nii.gz'))
    with pytest.raises(BidsError, match='acq-x already'):
        derivative_path(Path('/o'), image, acq='y', suffix='targets', extension='.tsv')
    with pytest.raises(BidsError, match='not a BIDS label'):
        derivative_path(Path('/o'), image, space='a_b', suffix='mask', extension='.nii.gz')


def test_concurrent_descriptions(tmp_path: Path) -> None:
    root = dataset(tmp_path / 'été', Name='Ä', DatasetDOI='doi:10.1/x')
    out = tmp_path / 'out'
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_dataset_description(out, root, TMS), range(32)))
    assert sorted(path.name for path in out.iterdir()) == [
        '.bidsignore',
        'dataset_description.json',
    ]
    content = json.loads((out / 'dataset_description.json').read_text())
    assert content['Name'] == 'tmsprep: stimulation targets of Ä'
    assert content['DatasetType'] == 'derivative'
    assert content['GeneratedBy'][0]['Name'] == 'tmsprep'
    assert content['SourceDatasets'] == [{'URL': 'bids:raw:', 'DOI': 'doi:10.1/x'}]
    assert content['DatasetLinks'] == {'raw': '../%C3%A9t%C3%A9'}
    before = (out / 'dataset_description.json').stat()
    write_dataset_description(out, root, TMS)
    assert (out / 'dataset_description.json').stat() == before


def test_links_to_further_data(tmp_path: Path) -> None:
    """Those of earlier runs stay, as their sidecars do; no path names the user's home."""
    root, out = dataset(tmp_path / 'raw'), tmp_path / 'out'
    write_dataset_description(out, root, TMS, {'prep': tmp_path / 'fmriprep'})
    write_dataset_description(out, root, TMS, {'fs': Path('/home/anna/subjects')})
    content = json.loads((out / 'dataset_description.json').read_text())
    assert content['DatasetLinks'] == {
        'raw': '../raw',
        'fs': 'sourcedata/fs',
        'prep': '../fmriprep',
    }
    urls = [source['URL'] for source in content['SourceDatasets']]
    assert urls == ['bids:raw:', 'bids:fs:', 'bids:prep:']


@pytest.mark.parametrize('content', [b'', bytes(300), b'{"Name": "tmsp', b'[1]', b'[' * 99_999])
def test_damaged_description(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """After a power failure; that of another program is refused, whatever is left of it."""
    root, out = dataset(tmp_path / 'raw'), tmp_path / 'out'
    write_dataset_description(out, root, TMS)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    for name in whole:
        (out / name).write_bytes(content)
    with pytest.raises(BidsError, match=r'dataset_description\.json: '):
        write_dataset_description(out, root, TMS)
    log = out / 'logs' / '20260101-000000_0' / 'config.toml'
    log.parent.mkdir(parents=True)
    log.write_text('# fMRIPrep\n')
    with pytest.raises(BidsError, match=r'dataset_description\.json: '):
        write_dataset_description(out, root, TMS)
    log.write_text('# tmsprep 0.1.0\n')
    write_dataset_description(out, root, TMS)
    assert (out / 'dataset_description.json').read_bytes() == whole['dataset_description.json']
    assert set(whole['.bidsignore'].splitlines()) <= set(
        (out / '.bidsignore').read_bytes().split()
    )
    assert 'It is written again.' in caplog.text


@pytest.mark.parametrize(
    'odd', [{'Protocols': ['tms']}, {'Protocols': 3}, {'Protocols': {'afids': None}}]
)
def test_odd_protocols(tmp_path: Path, odd: dict[str, Any]) -> None:
    root, out = dataset(tmp_path / 'raw'), tmp_path / 'out'
    write_dataset_description(out, root, TMS)
    path = out / 'dataset_description.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **odd}))
    write_dataset_description(out, root, TMS)
    assert json.loads(path.read_text())['Protocols']['tms'] == 'stimulation targets'


@pytest.mark.parametrize(
    ('out', 'bids', 'link'),
    [
        ('/data/study/derivatives/tmsprep', '/data/study', '../..'),
        ('/home/anna/study/out', '/home/anna/study/raw data', '../raw%20data'),
        ('/home/anna/out', '/home/anna/projects/a/bids', '../projects/a/bids'),
        ('/out', '/data', '../data'),
        ('/home/bob/out', '/home/anna/bids', 'sourcedata/raw'),
        ('/scratch/anna/out', '/home/anna/bids', 'sourcedata/raw'),
    ],
)
def test_link_to_raw(out: str, bids: str, link: str) -> None:
    assert link_to_raw(Path(out), Path(bids)) == link


def test_name_with_two_protocols(tmp_path: Path) -> None:
    root, out = dataset(tmp_path / 'bids', Name='Ä'), tmp_path / 'out'
    for name in ('tms', 'afids', 'tms'):
        write_dataset_description(out, root, load_protocol(name))
    content = json.loads((out / 'dataset_description.json').read_text())
    assert content['Name'] == 'tmsprep: anatomical fiducials and stimulation targets of Ä'


def test_lines_of_others_in_bidsignore_stay(tmp_path: Path) -> None:
    root, out = dataset(tmp_path / 'bids'), tmp_path / 'out'
    out.mkdir()
    (out / '.bidsignore').write_text('mine\n*.html\n')
    write_dataset_description(out, root, TMS)
    lines = (out / '.bidsignore').read_text().splitlines()
    assert lines[:2] == ['mine', '*.html']
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize('generated', [{}, {'GeneratedBy': [{'Name': 'fMRIPrep'}]}])
def test_directory_of_another_program(tmp_path: Path, generated: dict) -> None:
    out = dataset(tmp_path / 'out', **generated)
    before = (out / 'dataset_description.json').read_text()
    with pytest.raises(BidsError, match='fMRIPrep' if generated else 'a raw data set'):
        write_dataset_description(out, dataset(tmp_path / 'bids'), TMS)
    assert (out / 'dataset_description.json').read_text() == before


@pytest.mark.skipif(
    which('bids-validator-deno', path=str(Path(sys.executable).parent)) is None,
    reason='needs bids-validator-deno',
)
def test_validator(rich: Path) -> None:
    out = rich.parent / 'out'
    write_dataset_description(out, rich, TMS)
    kinds = [
        {'desc': 'cnn', 'suffix': 'targets', 'extension': '.tsv'},
        {'desc': 'cnn', 'suffix': 'targets', 'extension': '.json'},
        {'desc': 'targets', 'suffix': 'T1w', 'extension': '.svg', 'folder': 'figures'},
        {'suffix': 'xfm', 'extension': '.h5', 'from': 'T1w', 'to': 'atlas', 'mode': 'image'},
        {'suffix': 'xfm', 'extension': '.json', 'from': 'T1w', 'to': 'atlas', 'mode': 'image'},
        {'desc': 'brain', 'suffix': 'mask', 'extension': '.nii.gz'},
        {'desc': 'brain', 'suffix': 'mask', 'extension': '.json'},
    ]
    found = find_images(ImageQuery(rich)).images
    for image in [*found['01'], *found['002']]:
        for kind in kinds:
            path = derivative_path(out, image, **{'protocol': 'tms', **kind})
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({'Type': 'Brain', 'Sources': [image.uri]}))
        mask = derivative_path(out, image, **{'protocol': 'tms', **kinds[5]})
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), mask)
    GroupConfig(bids_dir=rich, out_dir=out).to_toml(out / 'logs' / 'x' / 'config.toml')
    for name in (
        'sub-01_protocol-tms.html',
        'group_protocol-tms_targets.tsv',
        'train_protocol-tms_log.tsv',
    ):
        (out / name).write_text('x\n1\n')
    validator = Path(sys.executable).parent / 'bids-validator-deno'
    checked = subprocess.run([validator, out], capture_output=True, text=True, check=False)
    assert '[ERROR]' not in checked.stdout
    assert checked.returncode == 0
