from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tmsprep.bids import BidsError
from tmsprep.config import RunConfig
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.group.collect import Group, collect_group
from tmsprep.group.comparison import compare_raters
from tmsprep.group.derived import Derived
from tmsprep.group.points import point_table
from tmsprep.group.raters import read_raters
from tmsprep.protocols import Protocol, Target

if TYPE_CHECKING:
    from conftest import Study


def collect(study: Study, *, annotated: bool = True, **settings: object) -> Group:
    return collect_group(
        RunConfig(
            study.bids,
            study.out,
            'group',
            protocol=str(study.protocol_file),
            annotations=study.points if annotated else None,
            **settings,
        )
    )


def point(group: Group, image: str, method: str, label: str) -> pd.Series:
    table = group.points
    chosen = (table['image'] == image) & (table['method'] == method) & (table['label'] == label)
    (row,) = [row for _, row in table[chosen].iterrows()]
    return row


def said(group: Group, severity: str = 'error') -> str:
    return '\n'.join(f'{i.who}: {i.message}' for i in group.issues if i.severity == severity)


def test_everybody_by_every_method_in_order(full: Callable[[], Study]) -> None:
    group = collect(full())
    assert group.people == ['01', '02']
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


def test_raters_alone_without_outputs_or_folders_of_people(study: Study) -> None:
    study.rater('sub-7_space-T1w', 'ann', study.truth)
    study.rater('sub-7_space-T1w', 'bob', study.moved((0, 2, 0)))
    group = collect(study)
    assert group.people == ['7']
    assert set(group.points['image']) == {'sub-7'}
    assert point(group, 'sub-7', 'consensus', 'M')['y'] == -39.0
    assert 'no outputs of the participant level' in said(group, 'note')


def test_nobody_annotated(full: Callable[[], Study]) -> None:
    group = collect(full(), annotated=False)
    assert group.points['method'].unique().tolist() == ['cnn', 'syn']
    assert len(group.agreements) == 0
    assert group.issues == []


def test_someone_missing_failed_or_unknown_is_named(full: Callable[[], Study]) -> None:
    study = full()
    (study.bids / 'sub-03').mkdir()
    logs = study.out / 'logs' / 'sub-04'
    logs.mkdir(parents=True)
    record = {'node': 'input', 'image': '', 'message': 'no T1w image', 'cure': 'Look.'}
    (logs / 'sub-04_input.error.json').write_text(json.dumps(record))
    study.rater('sub-99', 'ann', study.truth)
    group = collect(study)
    assert group.people == ['01', '02', '03', '04']
    assert 'sub-04: input: no T1w image Look.' in said(group)
    assert 'there is no sub-99 in the data set' in said(group)
    assert 'sub-03: no outputs of the participant level' in said(group, 'warning')
    assert 'sub-03: no points of raters' in said(group, 'warning')
    assert set(group.points['participant_id']) == {'sub-01', 'sub-02'}


def test_tables_older_than_a_failure_are_not_used(full: Callable[[], Study]) -> None:
    study = full()
    logs = study.out / 'logs' / 'sub-01'
    logs.mkdir(parents=True)
    record = {'node': 'conform', 'image': 'sub-01_T1w.nii.gz', 'message': 'the file is empty'}
    (logs / 'sub-01_T1w_conform.error.json').write_text(json.dumps(record))
    group = collect(study)
    assert 'conform: the file is empty' in said(group)
    assert 'of an earlier run' in said(group)
    mine = group.points[group.points['participant_id'] == 'sub-01']
    assert set(mine['method']) == {'rater-ann', 'rater-bob', 'consensus'}


def test_damaged_table_leaves_the_others_alone(full: Callable[[], Study]) -> None:
    study = full()
    path = study.out / 'sub-01' / 'anat' / 'sub-01_desc-syn_targets.tsv'
    path.write_text(path.read_text().replace('11.0000', 'eleven', 1).replace('15.0000', 'x'))
    group = collect(study)
    assert str(path) in said(group)
    mine = group.points[group.points['participant_id'] == 'sub-01']
    assert set(mine['method']) == {'cnn', 'rater-ann', 'rater-bob', 'consensus'}


def test_tables_of_another_protocol_are_told(full: Callable[[], Study]) -> None:
    study = full()
    with pytest.raises(BidsError, match='no tables of targets'):
        collect_group(RunConfig(study.bids, study.bids / 'empty', 'group'))
    group = collect_group(RunConfig(study.bids, study.out, 'group', protocol='tms'))
    assert len(group.points) == 0
    assert "3 of 3 targets are not of the protocol 'tms'" in said(group)


def test_wrong_points_of_a_rater_do_not_count(study: Study) -> None:
    study.outputs('sub-01', cnn=study.truth)
    study.rater('sub-01', 'ann', {**study.truth, 'M': (0, 0, 0)})
    study.rater('sub-01', 'bob', study.moved((500, 0, 0)))
    group = collect(study)
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
MANY = Protocol('many', 'Many', 'nobody', tuple(Target(label, 'n/a', '', '') for label in HEAD))


def compare(study: Study, **shifts: tuple) -> tuple[dict[str, int], str]:
    """Return how many points of each rater are left, and what is said."""
    for rater, by in shifts.items():
        study.rater('sub-01', rater, study.moved(by, HEAD))
    nothing = Derived(point_table([]), {}, {}, [])
    read, _ = read_raters(study.points, study.bids, nothing, MANY)
    kept, issues = compare_raters(read, MANY, 12.0)
    left = {points.file.rater: int(points.usable.found.sum()) for points in kept}
    return left, ' '.join(issue.message for issue in issues)


def test_file_that_is_wrong_as_a_whole_does_not_count(study: Study) -> None:
    left, message = compare(study, ann=(0, 0, 0), bob=(0, 1, 0), eve=(0, -1, 0), joe=(0, 0, 40))
    assert 'sub-01, rater joe, against the others: all points are shifted by 40.0 mm' in message
    assert left == {'ann': 7, 'bob': 7, 'eve': 7, 'joe': 0}


def test_two_who_differ_are_both_kept_and_told(study: Study) -> None:
    left, message = compare(study, ann=(0, 0, 0), joe=(0, 0, 40))
    assert 'raters ann and joe, one of which must be wrong' in message
    assert left == {'ann': 7, 'joe': 7}


def test_points_of_somebody_else_count_for_nobody(study: Study) -> None:
    for stem in ('sub-01', 'sub-02'):
        study.rater(stem, 'ann', study.truth)
        study.rater(stem, 'bob', study.moved((int(stem[-1]), 0, 0)))
    group = collect(study)
    assert said(group).count('3 points are the very same as in') == 2
    assert set(group.points['method']) == {'rater-bob', 'consensus'}


def test_some_people_only(full: Callable[[], Study]) -> None:
    study = full()
    study.predictions('sub-01', 'sub-02_ses-A')
    group = collect(study, participant_label=('02',))
    assert group.people == ['02']
    assert set(group.points['participant_id']) == {'sub-02'}
    with pytest.raises(BidsError, match=r'no 9 in the data set.*there are: 01, 02'):
        collect(study, participant_label=('9',))


def test_names_of_files_need_not_say_all(study: Study) -> None:
    study.outputs('sub-01_ses-A_run-1', cnn=study.truth)
    study.rater('sub-01', 'ann', study.truth)
    assert point(collect(study), 'sub-01_ses-A_run-1', 'rater-ann', 'LA')['x'] == -30.0


def test_cross_validation_enters_with_its_references(study: Study) -> None:
    study.predictions('sub-01', variants=('shared', 'none'))
    group = collect(study, annotated=False)
    assert group.points['method'].unique().tolist() == [
        *('crossval-none', 'crossval-shared', 'consensus')
    ]
    assert group.points.loc[0, 'repetition'] == 1
    row = point(group, 'sub-01', 'consensus', 'LA')
    assert row[['x', 'y', 'z', 'status']].tolist() == [-30.0, 10.0, 20.0, 'crossval_reference']
    assert len(group.predictions) == 12


def test_other_points_than_the_cross_validation_had_are_told(full: Callable[[], Study]) -> None:
    study = full()
    study.predictions('sub-01', 'sub-02_ses-A')
    group = collect(study)
    assert '3 points of the consensus are not those that crossval' in said(group, 'warning')
    assert set(group.points.loc[group.points['method'] == 'consensus', 'status']) == {'consensus'}


def test_damaged_cross_validation_is_told(study: Study) -> None:
    path = study.predictions('sub-01')
    path.write_text(path.read_text().replace('variant', 'kind', 1))
    with pytest.raises(BidsError, match=r"no column 'variant'.*Run crossval again"):
        collect(study, annotated=False)


@pytest.mark.shared
def test_raters_of_real_people() -> None:
    folder = Path(__file__).parents[3] / 'shared' / 'data' / 'ixi' / 'derivatives' / 'raters'
    if not folder.is_dir():
        pytest.skip('no images beside the checkout')
    config = RunConfig(folder, folder / 'none', 'group', annotations=folder)
    group = collect_group(config)
    assert len(group.people) == 26
    assert set(group.points['method']) == {'rater-alt', 'rater-syn', 'rater-tps', 'consensus'}
