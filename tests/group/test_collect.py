from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tmsprep.bids import BidsError
from tmsprep.bids.names import Layout
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.group.analysis import Group, GroupRequest
from tmsprep.group.collect import collect_group
from tmsprep.group.derivatives import Derivatives, read_derivatives
from tmsprep.group.points import COLUMNS
from tmsprep.group.raters import compare_raters, mark_doubtful, rater_table, read_raters
from tmsprep.methods import methods_of
from tmsprep.protocols import Protocol, Target, load_protocol

if TYPE_CHECKING:
    from conftest import Study


def point(group: Group, image: str, method: str, label: str) -> pd.Series:
    table = group.points
    chosen = (table['image'] == image) & (table['method'] == method) & (table['label'] == label)
    (row,) = [row for _, row in table[chosen].iterrows()]
    return row


def said(group: Group, severity: str = 'error') -> str:
    return '\n'.join(f'{i.who}: {i.message}' for i in group.issues if i.severity == severity)


def test_all_methods_in_order(full: Callable[[], Study]) -> None:
    group = full().collect()
    assert group.participants == ['01', '02']
    assert group.points['image'].unique().tolist() == ['sub-01', 'sub-02_ses-A']
    methods = ['cnn', 'syn', 'rater-ann', 'rater-bob', 'consensus']
    assert group.points['method'].unique().tolist() == methods
    assert group.points['label'].tolist() == ['LA', 'RA', 'M'] * 10
    row = point(group, 'sub-02_ses-A', 'cnn', 'RA')
    assert row[['participant_id', 'x', 'y', 'z', 'status', 'dispersion_mm']].tolist() == [
        *('sub-02', 31.0, 12.0, 23.0, 'ok', 2.5)
    ]
    assert np.isnan(row['repetition'])
    row = point(group, 'sub-01', 'consensus', 'LA')
    assert row[['x', 'y', 'z', 'status']].tolist() == [-30.0, 10.0, 20.0, 'consensus']
    assert group.agreements['agreeing'].unique().tolist() == ['ann bob']
    assert group.agreements['largest_distance_mm'].unique().tolist() == [2.0]
    assert [i for i in group.issues if i.severity != 'note'] == []
    errors = errors_against_consensus(group.points).groupby('method')['error_mm'].unique()
    expected = {'cnn': [3.0], 'rater-ann': [1.0], 'rater-bob': [1.0], 'syn': [4.0]}
    assert {method: found.tolist() for method, found in errors.items()} == expected


def test_raters_alone(study: Study) -> None:
    study.rater('sub-7_space-T1w', 'ann', study.truth)
    study.rater('sub-7_space-T1w', 'bob', study.moved((0, 2, 0)))
    group = study.collect()
    assert group.participants == ['7']
    assert set(group.points['image']) == {'sub-7'}
    assert point(group, 'sub-7', 'consensus', 'M')['y'] == -39.0
    assert 'no outputs of the participant level' in said(group, 'note')


def test_no_annotations(full: Callable[[], Study]) -> None:
    group = full().collect(annotated=False)
    assert group.points['method'].unique().tolist() == ['cnn', 'syn']
    assert group.agreements is None
    assert group.raters == ()
    assert group.issues == []


def test_missing_failed_unknown(full: Callable[[], Study]) -> None:
    study = full()
    (study.bids / 'sub-03').mkdir()
    logs = study.out / 'logs' / 'sub-04'
    logs.mkdir(parents=True)
    record = {'node': 'input', 'image': '', 'message': 'no T1w image', 'cure': 'Look.'}
    (logs / 'sub-04_protocol-toy_input.error.json').write_text(json.dumps(record))
    study.rater('sub-99', 'ann', study.truth)
    group = study.collect()
    assert group.participants == ['01', '02', '03', '04']
    assert 'sub-04: input: no T1w image Look.' in said(group)
    assert 'there is no sub-99 in the data set' in said(group)
    assert 'sub-03: no outputs of the participant level' in said(group, 'warning')
    assert 'sub-03: no points of raters' in said(group, 'warning')
    assert set(group.points['participant_id']) == {'sub-01', 'sub-02'}


def test_outdated_tables(full: Callable[[], Study]) -> None:
    study = full()
    logs = study.out / 'logs' / 'sub-01'
    logs.mkdir(parents=True)
    record = {'node': 'conform', 'image': 'sub-01_T1w.nii.gz', 'message': 'the file is empty'}
    (logs / 'sub-01_T1w_protocol-toy_conform.error.json').write_text(json.dumps(record))
    group = study.collect()
    assert 'conform: the file is empty' in said(group)
    assert 'of an earlier run' in said(group)
    mine = group.points[group.points['participant_id'] == 'sub-01']
    assert set(mine['method']) == {'rater-ann', 'rater-bob', 'consensus'}


def test_no_usable_point(study: Study) -> None:
    """An image without a usable point by any method is an error, so that the run ends with 1."""
    outside = study.moved((500, 0, 0))
    study.outputs('sub-01', cnn={}, syn={})
    study.outputs('sub-02', cnn={}, syn=study.truth)
    study.outputs('sub-03', cnn=outside, syn={})
    study.outputs('sub-04_run-1', cnn=study.truth, syn=study.truth)
    study.outputs('sub-04_run-2', cnn={}, syn={})
    issues = study.collect(annotated=False).issues
    useless = 'no usable point by any method; look at the report'
    assert [(i.who, i.message) for i in issues if i.severity == 'error'] == [
        ('sub-01', f'sub-01: {useless}'),
        ('sub-03', f'sub-03: {useless}'),
        ('sub-04', f'sub-04_run-2: {useless}'),
    ]


@pytest.mark.parametrize('content', ['', '{"node": ', '[3]', '[' * 99_999])
def test_damaged_record(full: Callable[[], Study], content: str) -> None:
    """It stops nobody, and the tables of its image do not count."""
    study = full()
    record = study.out / 'logs' / 'sub-01' / 'sub-01_T1w_protocol-toy_conform.error.json'
    record.parent.mkdir(parents=True)
    record.write_text(content)
    group = study.collect()
    assert f'sub-01: sub-01, conform: {record}: this record of an earlier failure' in said(group)
    methods = group.points.groupby('participant_id')['method'].unique()
    assert 'cnn' not in methods['sub-01']
    assert 'cnn' in methods['sub-02']


def test_damaged_table(full: Callable[[], Study]) -> None:
    study = full()
    path = study.out / 'sub-01' / 'anat' / 'sub-01_protocol-toy_desc-syn_targets.tsv'
    path.write_text(path.read_text().replace('11.0000', 'eleven', 1).replace('15.0000', 'x'))
    group = study.collect()
    assert str(path) in said(group)
    mine = group.points[group.points['participant_id'] == 'sub-01']
    assert set(mine['method']) == {'cnn', 'rater-ann', 'rater-bob', 'consensus'}


def test_lost_row(full: Callable[[], Study]) -> None:
    study = full()
    path = study.out / 'sub-01' / 'anat' / 'sub-01_protocol-toy_desc-syn_targets.tsv'
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
    group = study.collect()
    assert f'{path}: cannot be read (it lacks 1 target that it was written with (M)' in said(group)
    mine = group.points[group.points['participant_id'] == 'sub-01']
    assert set(mine['method']) == {'cnn', 'rater-ann', 'rater-bob', 'consensus'}


def test_protocols_share_folder(full: Callable[[], Study]) -> None:
    study = full()
    other = replace(study.protocol, name='other')
    layout = Layout(study.out, 'other')
    with pytest.raises(BidsError, match="no tables of the protocol 'other'"):
        study.collect(annotated=False, protocol=other, layout=layout)


def test_targets_of_other_protocol(full: Callable[[], Study]) -> None:
    group = full().collect(annotated=False, protocol=load_protocol('tms'))
    assert len(group.points) == 0
    assert "3 of 3 targets are not in the protocol 'tms'" in said(group)


def test_source_of_other_suffix(study: Study) -> None:
    study.outputs('sub-01_acq-mp2rage', cnn=study.truth)
    for path in study.out.glob('**/*_targets.json'):
        path.write_text(path.read_text().replace('mp2rage_T1w.nii.gz', 'mp2rage_UNIT1.nii.gz'))
    found = read_derivatives(study.layout, study.bids, study.protocol, ['cnn'])
    assert [image.path.name for image in found.images['01']] == ['sub-01_acq-mp2rage_UNIT1.nii.gz']


def test_refused_points(study: Study) -> None:
    study.outputs('sub-01', cnn=study.truth)
    study.rater('sub-01', 'ann', {**study.truth, 'M': (0, 0, 0)})
    study.rater('sub-01', 'bob', study.moved((500, 0, 0)))
    group = study.collect()
    assert point(group, 'sub-01', 'rater-ann', 'M')['status'] == 'refused'
    assert np.isnan(point(group, 'sub-01', 'rater-ann', 'M')['x'])
    assert point(group, 'sub-01', 'rater-bob', 'LA')['status'] == 'refused'
    assert group.agreements['status'].tolist() == ['single', 'single', 'missing']
    assert 'is at (0, 0, 0)' in said(group)
    assert 'may belong to another image' in said(group)


# More points than `toy` has: few of them tell nothing of a whole file.
HEAD = dict(
    zip('ABCDEFG', itertools.product((-40.0, 35.0), (10.0, 30.0), (0.0, 50.0)), strict=False)
)
MANY = Protocol('many', 'Many', 'test', tuple(Target(label, 'n/a', '', '') for label in HEAD))


def compare(study: Study, **shifts: tuple) -> tuple[dict[str, int], str]:
    """Return the number of usable points of each rater, and the messages."""
    for rater, by in shifts.items():
        study.rater('sub-01', rater, study.moved(by, HEAD))
    read, _ = read_raters(study.points, study.bids, Derivatives(), MANY)
    kept, issues = compare_raters(read, MANY, 12.0)
    left = {points.file.rater: int(points.usable.found.sum()) for points in kept}
    return left, ' '.join(issue.message for issue in issues)


def test_whole_file_refused(study: Study) -> None:
    left, message = compare(study, ann=(0, 0, 0), bob=(0, 1, 0), eve=(0, -1, 0), joe=(0, 0, 40))
    assert 'sub-01, rater joe, against the others: all points are shifted by 40.0 mm' in message
    assert left == {'ann': 7, 'bob': 7, 'eve': 7, 'joe': 0}


@pytest.mark.parametrize(('away', 'status'), [(18.0, 'given'), (34.0, 'doubtful')])
def test_far_from_methods(study: Study, away: float, status: str) -> None:
    study.rater('sub-01', 'ann', study.moved((0, away, 0), HEAD))
    study.rater('sub-02', 'ann', study.moved((0, 0, 1), HEAD))
    read, _ = read_raters(study.points, study.bids, Derivatives(), MANY)
    rows = [
        (f'sub-{who}', f'sub-{who}', method, np.nan, label, x + off, y, z, 'ok', np.nan)
        for who in ('01', '02')
        for method, off in (('one', 0.0), ('two', 5.0))
        for label, (x, y, z) in HEAD.items()
    ]
    marked, issues = mark_doubtful(read, pd.DataFrame(rows, columns=list(COLUMNS[:10])))
    table = rater_table(marked)
    statuses = table.groupby('image')['status'].unique().map(list).to_dict()
    assert statuses == {'sub-01': [status], 'sub-02': ['given']}
    # The points are kept: which of the two is wrong cannot be told.
    assert table['x'].notna().all()
    expected = [('01', 'warning')] if status == 'doubtful' else []
    assert [(issue.subject, issue.severity) for issue in issues] == expected


def test_two_raters_differ(study: Study) -> None:
    left, message = compare(study, ann=(0, 0, 0), joe=(0, 0, 40))
    assert 'raters ann and joe, one of which must be wrong' in message
    assert left == {'ann': 7, 'joe': 7}


def test_copied_file(study: Study) -> None:
    for stem in ('sub-01', 'sub-02'):
        study.rater(stem, 'ann', study.truth)
        study.rater(stem, 'bob', study.moved((int(stem[-1]), 0, 0)))
    group = study.collect()
    assert said(group).count('3 points are the very same as in') == 2
    assert set(group.points['method']) == {'rater-bob', 'consensus'}


def test_chosen_participants(full: Callable[[], Study]) -> None:
    study = full()
    study.predictions('sub-01', 'sub-02_ses-A')
    group = study.collect(participants=('02',))
    assert group.participants == ['02']
    assert set(group.points['participant_id']) == {'sub-02'}
    with pytest.raises(BidsError, match=r'no 9 in the data set.*there are: 01, 02'):
        study.collect(participants=('9',))


def test_shorter_file_names(study: Study) -> None:
    study.outputs('sub-01_ses-A_run-1', cnn=study.truth)
    study.rater('sub-01', 'ann', study.truth)
    assert point(study.collect(), 'sub-01_ses-A_run-1', 'rater-ann', 'LA')['x'] == -30.0


def test_crossval_references(study: Study) -> None:
    study.predictions('sub-01', variants=('shared', 'none'))
    group = study.collect(annotated=False)
    assert group.points['method'].unique().tolist() == [
        *('crossval-none', 'crossval-shared', 'consensus')
    ]
    assert group.points.loc[0, 'repetition'] == 1
    row = point(group, 'sub-01', 'consensus', 'LA')
    assert row[['x', 'y', 'z', 'status']].tolist() == [-30.0, 10.0, 20.0, 'crossval_reference']
    assert len(group.predictions) == 12


def test_changed_consensus(full: Callable[[], Study]) -> None:
    study = full()
    study.predictions('sub-01', 'sub-02_ses-A')
    group = study.collect()
    assert '3 points of the consensus are not those that crossval' in said(group, 'warning')
    assert set(group.points.loc[group.points['method'] == 'consensus', 'status']) == {'consensus'}


def test_damaged_crossval(study: Study) -> None:
    path = study.predictions('sub-01')
    path.write_text(path.read_text().replace('variant', 'kind', 1))
    with pytest.raises(BidsError, match=r"no column 'variant'.*Run crossval again"):
        study.collect(annotated=False)


@pytest.mark.shared
def test_real_raters() -> None:
    folder = Path(__file__).parents[3] / 'shared' / 'data' / 'ixi' / 'derivatives' / 'raters'
    if not folder.is_dir():
        pytest.skip('no images beside the checkout')
    protocol = load_protocol('tms')
    layout, methods = Layout(folder / 'none', 'tms'), tuple(methods_of(protocol))
    group = collect_group(GroupRequest(layout, protocol, methods, folder, folder))
    assert len(group.participants) == 26
    assert set(group.points['method']) == {'rater-alt', 'rater-syn', 'rater-tps', 'consensus'}
