"""A protocol whose method is of another package: points only, without an analysis of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tmsprep.cli.run import main
from tmsprep.group.comparison import DESCRIPTIONS
from tmsprep.methods import register, unregister
from tmsprep.methods.base import Method, Request
from tmsprep.outcome import Outcome

if TYPE_CHECKING:
    from conftest import Study


class Ruler(Method):
    """Never run: its tables are written by the test."""

    name = 'ruler'
    title = 'Ruler'
    description = 'Targets by a ruler'

    def locate(self, request: Request) -> Outcome:
        raise NotImplementedError


#: Where the registry finds it, however pytest has named this module.
PLACE = f'{__name__}:Ruler'


@pytest.fixture
def ruled(study: Study, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """Return a protocol with the method alone; it is 3 mm too high, between two raters."""
    register('ruler', PLACE)
    text = study.protocol_file.read_text()
    study.protocol_file.write_text(text.replace('[[', 'methods = ["ruler"]\n[[', 1))
    study.outputs('sub-01', ruler=study.moved((0, 0, 3)))
    study.rater('sub-01', 'ann', study.moved((1, 0, 0)))
    study.rater('sub-01', 'bob', study.moved((-1, 0, 0)))
    yield study
    unregister('ruler')


def test_points_only(ruled: Study) -> None:
    line = [ruled.bids, ruled.out, 'group', '--protocol', ruled.protocol_file]
    line += ['--annotations', ruled.points]
    assert main([str(word) for word in line]) == 0
    written = {path.stem.split('_')[-1] for path in ruled.out.glob('group_*.tsv')}
    # The protocol has no gyri.
    assert written == set(DESCRIPTIONS) - {'gyri'}
    errors = pd.read_csv(ruled.layout.level('group', 'errors'), sep='\t')
    means = errors.groupby('method')['error_mm'].mean().to_dict()
    assert means == {'ruler': 3.0, 'rater-ann': 1.0, 'rater-bob': 1.0}
    agreement = pd.read_csv(ruled.layout.level('group', 'agreement'), sep='\t')
    pair = agreement.set_index(['first', 'second']).loc[('rater-ann', 'rater-bob')]
    assert (pair['mean_mm'], pair['n'], pair['people']) == (2.0, 3, 1)
