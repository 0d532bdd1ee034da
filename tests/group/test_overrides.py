from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tmsprep.formats.targets_tsv import write_table
from tmsprep.group.analysis import Group
from tmsprep.text import cell

if TYPE_CHECKING:
    from conftest import Study


@pytest.fixture
def three(study: Study) -> Study:
    """Three raters of one person at 0, 10 and 30 mm: the first two agree."""
    for name, z in (('ann', 0), ('bob', 10), ('eve', 30)):
        study.rater('sub-01', name, study.moved((0, 0, z)))
    return study


def collect(study: Study, overrides: Path | None) -> Group:
    return study.collect(overrides=overrides)


def table(study: Study, *rows: str) -> Path:
    path = study.points.parent / 'overrides.tsv'
    path.write_text('\n'.join(row.replace(' | ', '\t') for row in rows) + '\n')
    return path


HEADER = 'participant_id | label | agreeing'


def test_a_person_chooses_the_raters(three: Study) -> None:
    before = collect(three, None).agreements.set_index('label')
    assert before['z'].tolist() == [25.0, 25.0, 55.0]
    path = table(three, HEADER, 'sub-01 | LA | ann eve', '01 | RA | none', 'sub-01 | M | eve')
    group = collect(three, path)
    after = group.agreements.set_index('label')
    assert after['agreeing'].tolist() == ['ann eve', '', 'eve']
    assert after['status'].tolist() == ['consensus', 'no_consensus', 'single']
    assert after['overridden'].tolist() == [True, True, True]
    assert after.loc[['LA', 'M'], 'z'].tolist() == [35.0, 80.0]
    assert after.loc['RA', ['x', 'y', 'z']].isna().all()
    consensus = group.points[group.points['method'] == 'consensus'].set_index('label')
    assert consensus.loc['LA', 'z'] == 35.0


def test_unchanged_agreement_table(three: Study) -> None:
    before = collect(three, None).agreements
    path = write_table(three.points.parent / 'copy.tsv', before)
    assert collect(three, path).agreements.equals(before)


def test_a_changed_cell_of_the_copy_does(three: Study) -> None:
    agreements = collect(three, None).agreements
    agreements.loc[1, 'agreeing'] = 'bob eve'
    path = write_table(three.points.parent / 'copy.tsv', agreements)
    after = collect(three, path).agreements
    assert after['overridden'].tolist() == [False, True, False]
    assert after.loc[1, 'z'] == 40.0


def test_name_like_a_formula(three: Study) -> None:
    """As the writer of tables has made it safe for a spreadsheet."""
    for path in three.points.parent.rglob('*desc-ann_*'):
        path.rename(path.with_name(path.name.replace('desc-ann', 'desc-+ann')))
    agreements = collect(three, None).agreements
    assert agreements['agreeing'].str.startswith('+ann').any()
    path = write_table(three.points.parent / 'copy.tsv', agreements.map(safe))
    assert "\t'+ann" in path.read_text()
    assert collect(three, path).agreements.equals(agreements)


def safe(value: object) -> object:
    return cell(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        (['label | agreeing', 'LA | ann'], 'it has no participant_id'),
        ([HEADER, '02 | LA | ann'], "line 2: no rater has a file of sub-02 with the target 'LA'"),
        ([HEADER, '01 | XX | ann'], "with the target 'XX'; correct the row"),
        ([HEADER, '01 | LA | ann joe'], "line 2: 'joe' gave no usable point of LA in sub-01"),
        ([HEADER, '01 | LA | ann', 'sub-01 | LA | bob'], 'line 3: sub-01, LA is also in line 2'),
        ([f'{HEADER} | image', '01 | LA | ann | sub-01_ses-B'], 'image sub-01_ses-B'),
    ],
)
def test_wrong_rows(three: Study, rows: list[str], message: str) -> None:
    path = table(three, *rows)
    with pytest.raises(ValueError, match=message) as caught:
        collect(three, path)
    assert str(caught.value).startswith(str(path))


def test_empty_cells(three: Study) -> None:
    path = table(three, HEADER, '01 | LA | n/a', '01 | RA | ')
    assert collect(three, path).agreements.equals(collect(three, None).agreements)
