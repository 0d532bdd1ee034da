"""Decisions of reviewers in the table of the cohort."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tmsprep.derivatives.earlier import REVIEWED
from tmsprep.group.cohort import table_of_cohort

if TYPE_CHECKING:
    from conftest import Study


def test_decisions(study: Study) -> None:
    """One without a sidecar was not checked, one of another image does not hold."""
    shas = {'sub-01': 'none', 'sub-02': 'other', 'sub-03': None}
    for stem, sha256 in shas.items():
        image = study.outputs(stem, cnn=study.truth)
        path = study.layout.table(image, REVIEWED)
        path.write_text('label\tx\ty\tz\tdecision\nRA\tn/a\tn/a\tn/a\trejected\nM\t1\t2\t3\t=1\n')
        if sha256 is not None:
            content = {'ReferenceImage': {'SHA256': sha256}}
            path.with_suffix('.json').write_text(json.dumps(content))
    table = table_of_cohort(study.collect(annotated=False))
    assert table is not None
    decided = table[table['decision'] != '']
    assert decided[['image', 'label', 'decision']].to_numpy().tolist() == [
        ['sub-01', 'RA', 'rejected']
    ]
    # The point of the row is still that of the method.
    assert decided['method'].tolist() == ['cnn']
