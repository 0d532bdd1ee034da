"""Decisions of a reviewer: what is taken from a file that anybody may have written."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from report_data import FakeOutput, make_row

from tmsprep.bids.annotations import annotated_names, find_annotations
from tmsprep.bids.names import BidsError, ImageRef
from tmsprep.derivatives.earlier import EXPERT, REVIEWED
from tmsprep.derivatives.outdated import delete_outdated
from tmsprep.evaluation.recommendation import recommend
from tmsprep.evaluation.status import doubtful
from tmsprep.export.files import export_subject
from tmsprep.formats.slicer import read_markups
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.reports.collect import read_targets
from tmsprep.review import COLUMNS, doubtful_statuses, match_reviews, take_reviews

SHA256, OTHER = 'ab' * 32, 'cd' * 32
BIDS = Path('/data')
IMAGE = ImageRef.from_path(BIDS, BIDS / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz')
AFFINE = [[1, 0, 0, -90], [0, 1, 0, -110], [0, 0, 1, -70], [0, 0, 0, 1]]
REFERENCE = {'Shape': [180, 220, 180], 'Affine': AFFINE, 'SHA256': SHA256}


@pytest.fixture
def output(tmp_path: Path) -> FakeOutput:
    output = FakeOutput(tmp_path / 'out')
    rows = [make_row('LDLPFC', ('-30.0000', '20.0000', '10.0000'), error90_mm='3.1')]
    output.table('sub-01', 'cnn', rows, ReferenceImage=REFERENCE, SoftwareVersion='1')
    return output


def accepted(**changes: Any) -> dict[str, Any]:
    row = make_row('LDLPFC', ('-30.0000', '20.0000', '10.0000'), 'accepted')
    cells = ['accepted', 'accepted', 'cnn', 'Anna', '2030-01-31', 'n/a', SHA256, '1']
    return {**row, **dict(zip(COLUMNS, cells, strict=True)), **changes}


def rejected(**changes: Any) -> dict[str, Any]:
    missing = dict.fromkeys('xyz', 'n/a')
    row = {'label': 'RDLPFC', 'decision': 'rejected', 'method': 'n/a', **missing}
    return accepted(**{**row, **changes})


def save(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', encoding='utf-8', newline='') as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter='\t', lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    return path


def place(output: FakeOutput) -> Path:
    return output.layout.table(IMAGE, REVIEWED)


def take(output: FakeOutput, given: Path | None = None) -> list[str]:
    files = {} if given is None else {'sub-01': given}
    return take_reviews(output.layout, output.protocol, [IMAGE], files)


def test_taken(output: FakeOutput, tmp_path: Path) -> None:
    moved = accepted(
        label='LLLIMBMC', decision='moved', x='-8.1000', y='-30.2000', z='70.3000', method='n/a',
        comment='in the fissure',
    )  # fmt: skip
    name = 'sub-01_protocol-tms_desc-reviewed_targets (2).tsv'
    file = save(tmp_path / name, accepted(), moved, rejected(comment='=too "deep"'))
    given = match_reviews([file], output.layout, {'01': [IMAGE]})
    assert given == {'sub-01': file}
    assert take_reviews(output.layout, output.protocol, [IMAGE], given) == []
    table = read_targets(place(output))
    rows = {row['label']: row for row in table.rows}
    assert [rows[label]['decision'] for label in rows] == ['accepted', 'moved', 'rejected']
    assert [rows['LLLIMBMC'][axis] for axis in 'xyz'] == ['-8.1000', '-30.2000', '70.3000']
    assert [rows['RDLPFC'][axis] for axis in 'xyz'] == ['n/a'] * 3
    # What a spreadsheet would compute is kept as text; sides and regions are the protocol's.
    assert rows['RDLPFC']['comment'] == '\'=too "deep"'
    assert rows['LLLIMBMC']['region'] == 'left primary motor cortex, lower limb'
    assert table.sidecar['ReferenceImage'] == REFERENCE
    assert set(rows['LDLPFC']) <= set(table.sidecar)
    points = read_markups(place(output).with_suffix('.mrk.json'))
    assert points.labels == ('LDLPFC', 'LLLIMBMC')
    np.testing.assert_allclose(points['LLLIMBMC'], [-8.1, -30.2, 70.3])


def test_taken_again_is_the_same(output: FakeOutput) -> None:
    save(place(output), accepted(comment='"a"'), rejected(reviewer='@Ben'))
    assert take(output) == []
    names = [place(output).with_suffix(end) for end in ('.tsv', '.json', '.mrk.json')]
    before = [path.read_bytes() for path in names]
    assert take(output) == []
    assert [path.read_bytes() for path in names] == before


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image_sha256': OTHER}, 'decided in another image'),
        ({'image_sha256': 'n/a'}, 'decided in another image'),
        ({'label': 'NOWHERE'}, 'is no target of tms'),
        ({'label': '<script>'}, 'is no target of tms'),
        ({'decision': 'perhaps'}, 'is no decision'),
        ({'decision': 'rejected'}, 'rejected, but it has a point'),
        ({'x': 'n/a', 'y': 'n/a', 'z': 'n/a'}, 'accepted, but it has no point'),
        ({'decision': 'moved', 'x': '90.0'}, 'lies outside the image'),
        ({'x': 'nan'}, 'n/a'),
        ({'x': 'inf'}, 'inf'),
        ({'x': '=1+1'}, '=1'),
        ({'reviewer': 'n/a'}, 'nobody is named'),
        ({'reviewer': ' '}, 'nobody is named'),
        ({'date': 'n/a'}, 'is no date'),
        ({'date': '2030-02-31'}, 'is no date'),
        ({'date': '20300131'}, 'is no date'),
        ({'date': '2030-W05-4'}, 'is no date'),
        ({'method': 'bogus'}, "LDLPFC was accepted from 'bogus', of which there is no such point"),
        ({'method': 'n/a'}, 'there are those of cnn'),
        ({'method': 'syn'}, 'there are those of cnn'),
        ({'y': '23.0', 'z': '14.0'}, 'not the present one of cnn (5.00 mm away)'),
        ({'x': '-28.9890'}, 'write moved to keep the point'),
    ],
)
def test_refused(output: FakeOutput, changes: dict[str, str], message: str) -> None:
    """Nothing is used of a table with one wrong cell; the table itself stays."""
    path = save(place(output), rejected(), accepted(**changes))
    for extension in ('.json', '.mrk.json'):
        path.with_suffix(extension).write_text('{}')
    (problem,) = take(output)
    assert problem.startswith(f'review: {path}')
    assert message in problem
    assert [file for file in path.parent.iterdir() if 'reviewed' in file.name] == [path]


def test_decided_twice(output: FakeOutput) -> None:
    save(place(output), accepted(), accepted(decision='moved'))
    (problem,) = take(output)
    assert 'LDLPFC' in problem


def test_missing_column(output: FakeOutput) -> None:
    row = accepted()
    del row['reviewer']
    save(place(output), row)
    (problem,) = take(output)
    assert 'reviewer is missing' in problem


def test_without_points_of_methods(tmp_path: Path) -> None:
    output = FakeOutput(tmp_path)
    save(place(output), accepted())
    (problem,) = take(output)
    assert 'no method has left points' in problem


def test_control_characters(output: FakeOutput) -> None:
    save(place(output), accepted(comment='a\x1b[31mb', reviewer='x' * 500))
    assert take(output) == []
    (row,) = read_targets(place(output)).rows
    assert row['comment'] == 'a\\x1b[31mb'
    assert row['reviewer'] == 'x' * 80


def test_earlier_decisions_stay(output: FakeOutput, tmp_path: Path) -> None:
    save(place(output), accepted(comment='first'))
    assert take(output) == []
    first = place(output).read_text()
    given = save(tmp_path / place(output).name, rejected())
    assert take(output, given) == []
    assert [row['decision'] for row in read_targets(place(output)).rows] == ['rejected']
    assert place(output).with_name(f'{place(output).name}.earlier').read_text() == first


def test_accepted_within_rounding(output: FakeOutput) -> None:
    """9 micrometres are the same point; what the methods say of it holds."""
    save(place(output), accepted(x='-29.9910'))
    assert take(output) == []
    (row,) = read_targets(place(output)).rows
    assert (row['status'], row['x']) == ('accepted', '-29.9910')


def doubts(points: dict[str, Any], *located: dict[str, Any]) -> dict[str, str]:
    named = {str(i): PointSet.from_mapping(places) for i, places in enumerate(located)}
    return doubtful(PointSet.from_mapping(points), named, load_protocol('tms'))


def test_doubtful() -> None:
    """By hand: the middle of the methods is x = 10, and 12 mm are the most."""
    cnn = {'LDLPFC': (-30, 20, 10), 'RDLPFC': (50, 20, 10), 'LOFC': (-20, 50, 0)}
    assert doubts({'LDLPFC': (-30, 20, 22)}, cnn) == {}
    assert doubts({'LDLPFC': (-30, 20, 22.01)}, cnn) == {'LDLPFC': 'far_from_methods'}
    # One of two methods is near.
    assert doubts({'LDLPFC': (-30, 20, 30)}, cnn, {'LDLPFC': (-30, 20, 35)}) == {}
    # Across the middle, though x > 0 alone says nothing; the pair itself was not exchanged.
    assert doubts({'LDLPFC': (32.5, 20, 10)}, cnn) == {'LDLPFC': 'wrong_side'}
    assert doubts({'LOFC': (9.9, 50, 0)}, {**cnn, 'LOFC': (2, 50, 0)}) == {}
    assert doubts({'LOFC': (10.1, 50, 0)}, {**cnn, 'LOFC': (2, 50, 0)}) == {'LOFC': 'wrong_side'}
    # Nothing to compare with, and the middle of the decisions themselves.
    assert doubts({'LHESCHL': (-70, 0, 0)}, cnn) == {}
    pairs = {'LDLPFC': (-30, 0, 0), 'RDLPFC': (30, 0, 0), 'LOFC': (5, 0, 0)}
    assert doubts(pairs) == {'LOFC': 'wrong_side'}


NUMBERS = st.floats(-60, 60)


@hypothesis.given(
    st.lists(st.tuples(st.floats(1, 70), NUMBERS, NUMBERS), min_size=5, max_size=5), NUMBERS
)
def test_sides(places: list[tuple[float, float, float]], middle: float) -> None:
    """A method's points are not doubtful, and one across the middle is, wherever that is."""
    targets = load_protocol('tms').targets
    lefts = [target for target in targets if target.hemisphere == 'L' and target.mirror]
    points = {}
    for target, (x, y, z) in zip(lefts, places, strict=True):
        points |= {target.label: (middle - x, y, z), target.mirror: (middle + x, y, z)}
    assert doubts(points, points) == {}
    first = lefts[0]
    swapped = {first.label: points[first.mirror]}
    assert doubts(swapped, points)[first.label] == 'wrong_side'


def test_doubts_are_told(output: FakeOutput, caplog: pytest.LogCaptureFixture) -> None:
    """A left target on the right is marked wherever its point is."""
    rows = [make_row('LDLPFC', ('-30.0000', '20.0000', '10.0000')),
            make_row('RDLPFC', ('30.0000', '20.0000', '10.0000'))]  # fmt: skip
    output.table('sub-01', 'cnn', rows, ReferenceImage=REFERENCE, SoftwareVersion='1')
    save(place(output), accepted(decision='moved', x='32.5000', method='n/a'))
    with caplog.at_level(logging.WARNING):
        assert take(output) == []
    assert 'LDLPFC was moved, but look again: found, but on the other side of the' in caplog.text
    (row,) = read_targets(place(output)).rows
    assert (row['status'], row['decision']) == ('wrong_side', 'moved')
    assert doubtful_statuses(output.layout, IMAGE) == {'LDLPFC': 'wrong_side'}
    (folder,) = export_subject(output.layout, output.protocol, '01')
    for path in (
        folder / f'{folder.name}_slicer.mrk.json',
        place(output).with_suffix('.mrk.json'),
    ):
        assert read_markups(path)['LDLPFC (check: wrong_side)'].tolist() == [32.5, 20, 10]
    assert 'look again: found, but on the other side' in (folder / 'README.txt').read_text()
    page = output.write()
    assert 'Look before use: 1 of 2 targets carry a warning.' in page.text
    assert '<div class="summary look">' in page.source
    assert 'Reviewed: found, but on the other side of the midline (left DLPFC).' in page.text
    # Twice the same, from its own output.
    content = place(output).read_text()
    assert take(output) == []
    assert place(output).read_text() == content


def test_refused_decisions_leave_no_points(output: FakeOutput) -> None:
    """A rejected target does not come back when a table has become unusable."""
    save(place(output), rejected(label='LDLPFC'))
    assert take(output) == []
    (folder,) = export_subject(output.layout, output.protocol, '01')
    save(place(output), rejected(label='LDLPFC'), accepted(label='RDLPFC', decision='moved foo'))
    (problem,) = take(output)
    assert "'moved foo' is no decision" in problem
    assert export_subject(output.layout, output.protocol, '01') == []
    assert [path.name for path in folder.iterdir()] == ['README.txt']
    reason = f"{place(output).name}, line 3: 'moved foo' is no decision"
    assert reason in (folder / 'README.txt').read_text()
    page = output.write()
    assert '<div class="summary bad">' in page.source
    assert f'Decisions of a reviewer cannot be used: {reason}' in page.text
    assert 'Load the points' not in page.text
    # Corrected, all is as before; deleted, nothing is left of it.
    save(place(output), rejected(label='LDLPFC'))
    assert take(output) == []
    assert export_subject(output.layout, output.protocol, '01') == [folder]
    place(output).unlink()
    assert take(output) == []
    assert [file for file in place(output).parent.iterdir() if 'reviewed' in file.name] == []


def test_given_table_is_refused(output: FakeOutput, tmp_path: Path) -> None:
    """The earlier decisions are checked as in every run, and stay."""
    save(place(output), accepted())
    given = save(tmp_path / place(output).name, accepted(date='n/a'))
    (problem,) = take(output, given)
    assert str(given) in problem
    assert read_targets(place(output)).rows[0]['decision'] == 'accepted'
    save(place(output), accepted(method='bogus'))
    assert len(take(output, given)) == 2
    assert not place(output).with_suffix('.json').exists()


def test_wrong_names(output: FakeOutput, tmp_path: Path) -> None:
    for name in ('review.tsv', 'sub-02_protocol-tms_desc-reviewed_targets.tsv',
                 'sub-01_protocol-tms_desc-reviewed_targets.json'):  # fmt: skip
        with pytest.raises(BidsError, match='belongs to no image of this run'):
            match_reviews([tmp_path / name], output.layout, {'01': [IMAGE]})
    stem = 'sub-01_protocol-tms_desc-reviewed_targets'
    twice = [tmp_path / f'{stem}.tsv', tmp_path / f'{stem}(1).tsv']
    with pytest.raises(BidsError, match='is of the same image'):
        match_reviews(twice, output.layout, {'01': [IMAGE]})


def test_recommended_first(output: FakeOutput) -> None:
    moved = accepted(decision='moved', x='-31.0000', method='n/a')
    save(place(output), moved, rejected())
    assert take(output) == []
    paths = {name: output.layout.table(IMAGE, name) for name in ('cnn', REVIEWED)}
    tables = {name: read_targets(path).rows for name, path in paths.items()}
    found = {one.label: one for one in recommend(tables, output.protocol)}
    assert (found['LDLPFC'].method, found['LDLPFC'].decision) == (REVIEWED, 'moved')
    assert found['LDLPFC'].point.tolist() == [-31, 20, 10]
    assert found['LDLPFC'].distance_mm == 1
    assert not found['RDLPFC'].usable
    text = output.write().text
    assert 'Moved by Anna on 2030-01-31' in text


def test_another_image(output: FakeOutput, caplog: pytest.LogCaptureFixture) -> None:
    """When the image was replaced, the decisions about it are renamed, not deleted or used."""
    save(place(output), accepted())
    assert take(output) == []
    content = place(output).read_text()
    with caplog.at_level(logging.WARNING):
        delete_outdated(output.layout, IMAGE, output.protocol, OTHER)
    kept = place(output).with_name(f'{place(output).name}.of-{SHA256[:8]}')
    assert kept.read_text() == content
    assert f'kept as {kept.name}' in caplog.text
    assert not place(output).exists()
    assert not place(output).with_suffix('.json').exists()
    # And once more: the first ones stay.
    save(place(output), rejected())
    delete_outdated(output.layout, IMAGE, output.protocol, OTHER)
    assert kept.read_text() == content
    assert kept.with_name(f'{kept.name}-2').is_file()


def test_same_image(output: FakeOutput) -> None:
    save(place(output), accepted())
    delete_outdated(output.layout, IMAGE, output.protocol, SHA256)
    assert place(output).is_file()


def test_as_annotations(output: FakeOutput, tmp_path: Path) -> None:
    """Decisions are points of a rater; the point list beside them is not taken a second time."""
    save(place(output), accepted(reviewer='Anna Müller'), rejected(reviewer='Anna Müller'))
    assert take(output) == []
    description = {'GeneratedBy': [{'Name': 'tmsprep'}]}
    (output.root / 'dataset_description.json').write_text(json.dumps(description))
    for name in ('cnn', EXPERT):
        output.table('sub-01', name, [make_row('LDLPFC', (1, 2, 3))])
    found = find_annotations({'01': [IMAGE]}, output.root)
    assert found.problems == {}
    ((path, rater),) = [(file.path, file.rater) for file in found.files]
    assert (path, rater) == (place(output), 'AnnaMuller')
    assert annotated_names(output.root) == [{'sub': '01'}]
