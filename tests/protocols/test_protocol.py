from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.config import read_settings
from tmsprep.protocols import load_protocol

# Baxter et al. 2021, Table 1, from top to bottom.
TABLE_1 = (
    ('LOFC', 'L'),
    ('ROFC', 'R'),
    ('LDLPFC', 'L'),
    ('RDLPFC', 'R'),
    ('LHESCHL', 'L'),
    ('LFACEMC', 'L'),
    ('RFACEMC', 'R'),
    ('LLLIMBMC', 'L'),
    ('RLLIMBMC', 'R'),
    ('LULIMBMC', 'L'),
    ('RULIMBMC', 'R'),
)
ONE = 'name = "n"\ntitle = "t"\nsource = "s"\n[[targets]]\nlabel = "A"\nhemisphere = "L"\n'
GOOD = """
name = 'n'
title = 't'
source = 's'
[[targets]]
label = 'LA'
hemisphere = 'L'
region = 'r'
type = 'x'
mirror = 'RA'
[[targets]]
label = 'RA'
hemisphere = 'R'
region = 'r'
type = 'x'
mirror = 'LA'
"""
GIVEN = """
type = 'x'
mirror = 'RA'
name = 'left spot'
doubt = "Look at\\n the gyrus."
"""
FIDUCIALS = """
[fiducials]
nasion = [0, 90, -50]
inion = [0, -100, -80]
left = [-70, 0, -80]
right = [70.5, 0, -80]
"""


def test_the_papers_table() -> None:
    protocol = load_protocol('tms')
    assert tuple((t.label, t.hemisphere) for t in protocol.targets) == TABLE_1
    assert protocol.labels == tuple(label for label, _ in TABLE_1)
    assert 'Baxter' in protocol.source
    assert all(t.region for t in protocol.targets)
    sides = {'L': 'left', 'R': 'right'}
    assert all(t.region.startswith(sides[t.hemisphere]) for t in protocol.targets)


def test_gyri() -> None:
    """Both sides of a target lie in the same gyrus."""
    gyri = {t.label[1:]: t.gyrus for t in load_protocol('tms').targets}
    assert gyri == {
        'OFC': 'orbital gyri',
        'DLPFC': 'middle frontal gyrus',
        'HESCHL': 'transverse temporal gyrus',
        'FACEMC': 'precentral gyrus',
        'LLIMBMC': 'medial precentral gyrus',
        'ULIMBMC': 'precentral gyrus',
    }
    targets = {t.label: t for t in load_protocol('tms').targets}
    assert all(targets[t.mirror].gyrus == t.gyrus for t in targets.values() if t.mirror)


def test_words_for_readers() -> None:
    targets = {t.label: t for t in load_protocol('tms').targets}
    assert targets['LULIMBMC'].name == 'left hand M1'
    assert targets['RLLIMBMC'].name == 'right leg M1'
    assert len({t.name for t in targets.values()}) == 11
    for target in targets.values():
        # The landmarks are those of both sides, and say nothing of one side alone.
        mirror = targets.get(target.mirror, target)
        assert target.doubt
        assert target.doubt == mirror.doubt
        assert '\n' not in target.doubt
        assert '>good<' in load_protocol('tms').file(target.sketch).read_text()
    landmarks = {'LULIMBMC': 'omega', 'LHESCHL': 'insula', 'LDLPFC': 'middle frontal gyrus',
                 'LOFC': 'orbital surface', 'LLLIMBMC': 'paracentral lobule',
                 'LFACEMC': 'inferior frontal sulcus'}  # fmt: skip
    for label, landmark in landmarks.items():
        assert landmark in targets[label].doubt


def test_handle(tmp_path: Path) -> None:
    path = tmp_path / 'mine.toml'
    path.write_text(GOOD + "handle = -12.5\nhandle_source = 'me'\n" + FIDUCIALS)
    protocol = load_protocol(path)
    left, right = protocol.targets
    assert (left.handle, left.handle_source) == (None, '')
    assert (right.handle, right.handle_source) == (-12.5, 'me')
    assert protocol.fiducials['right'] == [70.5, 0, -80]


def test_handles_of_the_paper_s_targets() -> None:
    targets = {t.label: t for t in load_protocol('tms').targets}
    for label in ('LULIMBMC', 'RULIMBMC', 'LFACEMC', 'RFACEMC', 'LDLPFC', 'RDLPFC'):
        assert targets[label].handle == 45
    for target in targets.values():
        mirror = targets.get(target.mirror, target)
        assert (target.handle, target.handle_source) == (mirror.handle, mirror.handle_source)
    for label in ('LOFC', 'LHESCHL', 'LLLIMBMC'):
        assert 'not evidence-based' in targets[label].handle_source


def test_default_name(tmp_path: Path) -> None:
    path = tmp_path / 'mine.toml'
    path.write_text(GOOD.replace("type = 'x'\nmirror = 'RA'", GIVEN))
    left, right = load_protocol(path).targets
    assert (left.name, left.doubt) == ('left spot', 'Look at the gyrus.')
    assert (right.name, right.doubt) == ('r', '')


def test_reflecting_twice_changes_nothing() -> None:
    protocol = load_protocol('tms')
    mirror = protocol.mirror_permutation()
    np.testing.assert_array_equal(mirror[mirror], np.arange(11))
    for i, target in enumerate(protocol.targets):
        if target.label == 'LHESCHL':
            assert mirror[i] == i
        else:
            counterpart = protocol.targets[mirror[i]]
            assert counterpart.label[1:] == target.label[1:]
            assert counterpart.hemisphere != target.hemisphere


def test_unpaired_targets() -> None:
    protocol = load_protocol('tms')
    alone = [
        t.label for t, has in zip(protocol.targets, protocol.has_mirror(), strict=True) if not has
    ]
    assert alone == ['LHESCHL']


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / 'mine.toml'
    path.write_text(ONE + 'region = "r"\ntype = "x"\n')
    protocol = load_protocol(path)
    assert protocol == load_protocol(str(path))
    assert protocol.labels == ('A',)
    assert protocol.mirror_permutation().tolist() == [0]
    assert protocol.has_mirror().tolist() == [False]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (ONE + 'type = "x"\n', 'region'),
        (ONE + 'region = "r"\ntype = "x"\ncolour = "red"\n', "unknown key 'colour'"),
        ('name = "n"\ntitle = "t"\nsource = "s"\n', 'targets'),
        (ONE.replace('title = "t"\n', '') + 'region = "r"\ntype = "x"\n', 'title'),
        ('name = ', 'mine.toml'),
        (GOOD.replace("'n'", "'tms'"), 'choose another name'),
        (GOOD.replace("'n'", "'locuscoeruleus'"), 'choose another name'),
        (GOOD.replace("'n'", "'T-M-S'"), 'lower-case letters'),
        (GOOD.replace("'n'", "'../n'"), 'lower-case letters'),
        (GOOD.replace("'n'", '5'), "'name' cannot be 5"),
        (GOOD.replace("'n'", "''"), "missing key 'name'"),
        (GOOD.replace("'t'", "'t'\nvoxel_mm = true"), "'voxel_mm' cannot be True"),
        (GOOD.replace("'t'", "'t'\nmethods = 'syn'"), "'methods' cannot be 'syn'"),
        (GOOD.replace("'t'", "'t'\nmethods = ['syn', 'syn']"), 'a method is listed twice'),
        (GOOD + "[atlas]\nimage = 'a'\n", "needs 'image' and 'points'"),
        (GOOD + "[atlas]\nimage = 'a'\npoints = 'b'\npoint = 'c'\n", 'and nothing else'),
        (GOOD + '[weights]\ncnn = 1\n', "'cnn' must be text"),
        (GOOD.replace("'RA'", "'R A'"), 'use letters and digits'),
        (GOOD.replace("'LA'", "'overview'"), 'but none of brain, overview, registration'),
        (GOOD.replace("mirror = 'LA'", "mirror = 'LB'"), "its mirror 'RA' must be"),
        (GOOD.replace("mirror = 'LA'", ''), "its mirror 'RA' must be"),
        (GOOD + "gyrus = 'hand'", "target 'RA': gyrus 'hand' is none of precentral gyrus, medial"),
        (GOOD + "gyrus = 'white matter'", "gyrus 'white matter' is none of"),
        (GOOD + 'gyrus = 1', "'gyrus' must be text"),
        (GOOD.replace("'t'", "'t'\ngyri = 1"), "'gyri' cannot be 1"),
        (GOOD.replace("hemisphere = 'R'", "hemisphere = 'L'"), 'one must be L and one R'),
        (GOOD.replace("hemisphere = 'R'", "hemisphere = 'right'"), "'L', 'R' or 'n/a'"),
        (GOOD.replace("region = 'r'", 'region = 1'), "'region' must be text"),
        (GOOD + 'handle = 45\n', 'give both, or none'),
        (GOOD + "handle_source = 'me'\n", 'give both, or none'),
        (GOOD + "handle = '45'\nhandle_source = 'me'\n", "'handle' must be a number"),
        (GOOD + "handle = true\nhandle_source = 'me'\n", "'handle' must be a number"),
        (GOOD + "handle = 270\nhandle_source = 'me'\n", 'from -180 to 180 degrees'),
        (GOOD + "handle = nan\nhandle_source = 'me'\n", 'from -180 to 180 degrees'),
        (GOOD + '[fiducials]\nnasion = [0, 90, -50]\n', 'needs nasion, inion, left, right'),
        (GOOD + FIDUCIALS.replace('-50', 'nan'), "'nasion' must be three numbers in mm"),
        (GOOD + FIDUCIALS.replace(', -50', ''), "'nasion' must be three numbers in mm"),
    ],
)
def test_a_wrong_protocol_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'mine.toml'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_protocol(path)


def test_mirrored_pair(tmp_path: Path) -> None:
    path = tmp_path / 'mine.toml'
    path.write_text(GOOD)
    assert load_protocol(path).mirror_permutation().tolist() == [1, 0]


@pytest.mark.parametrize('name', ['nothing', 'nothing.toml', '../tms'])
def test_unknown_protocol(name: str) -> None:
    with pytest.raises(FileNotFoundError, match='tms'):
        load_protocol(name)


@pytest.mark.parametrize('size', ['nan', 'inf', '-1', '0', '1e-6', '1e6', 'true'])
def test_no_voxel(tmp_path: Path, size: str) -> None:
    path = tmp_path / 'own.toml'
    path.write_text(f'voxel_mm = {size}\n{GOOD}')
    with pytest.raises(ValueError, match=r'own\.toml: .*voxel_mm'):
        load_protocol(path)


@pytest.mark.parametrize('methods', ['[1]', '[["cnn"]]', '[{a = 1}]'])
def test_methods_are_names(tmp_path: Path, methods: str) -> None:
    path = tmp_path / 'own.toml'
    path.write_text(f'methods = {methods}\n{GOOD}')
    with pytest.raises(ValueError, match=r"own\.toml: 'methods' must be a list of names"):
        load_protocol(path)


#: What TOML can hold where something else is expected.
ODD = st.recursive(
    st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(['LA', 'L', 'R', 'n/a', 'cnn', '../x', 'a\tb', '\x1b[2J']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
KEYS = ('name', 'title', 'methods', 'voxel_mm', 'filter', 'words', 'weights', 'atlas', 'defaults')


@given(data=st.data())
@settings(max_examples=200)
def test_any_protocol(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """It is read, or refused with its name: nothing else."""
    content = {
        'name': 'n',
        'title': 't',
        'source': 's',
        'targets': [{'label': 'A', 'hemisphere': 'L', 'region': 'r', 'type': 'x'}],
    }
    for key in data.draw(st.lists(st.sampled_from([*KEYS, 'targets', 'other']), max_size=2)):
        content[key] = data.draw(ODD)
    if data.draw(st.booleans()):
        content['targets'] = [
            data.draw(st.dictionaries(st.sampled_from(['label', 'hemisphere', 'mirror']), ODD))
        ]
    path = tmp_path_factory.getbasetemp() / 'fuzzed.toml'
    path.write_bytes(tomli_w.dumps(content).encode())
    protocol = read_or_refused(load_protocol, path)
    if protocol is not None:
        assert 0 < protocol.voxel_mm < 100
        assert len(protocol.mirror_permutation()) == len(protocol.labels)
        hash(protocol)


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
@settings(max_examples=100)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'fuzzed.toml'
    path.write_bytes(content)
    assert read_or_refused(load_protocol, path) is None
    read_or_refused(read_settings, path)


def read_or_refused(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        return read(path)
    except ValueError as error:
        message = str(error)
    assert path.name in message
    return None
