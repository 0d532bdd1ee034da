from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from paper_crossval import OPTIONS, by_repetition, learner_of, publish, read_rows

from tmsprep.group.crossval import read_predictions
from tmsprep.learning.examples import Example, Record
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol


def test_repetitions_one_after_the_other() -> None:
    """A table that is cut off holds whole repetitions of all variants, and then part of one."""
    plan = learner_of('crossval', None).plan(['sub-1', 'sub-2', 'sub-3'], [])
    pairs = by_repetition(plan)
    assert len(pairs) == len(plan.trainings) == 5 * 3 * 3
    first = [training for training, _ in pairs[:9]]
    assert {training.repetition for training in first} == {1}
    assert {training.variant for training in first} == set(OPTIONS['residual'])
    # Each training is tested on the one participant that it does not see.
    for training, test in pairs:
        assert test.trainings == (training.name,)
        assert sorted((*training.train, *test.participants)) == ['sub-1', 'sub-2', 'sub-3']


def test_published_for_group(tmp_path: Path) -> None:
    """The group level reads what is done; the variant without residual layers is not missing."""
    table, out = tmp_path / 'table.tsv', tmp_path / 'out'
    table.write_text(
        'participant_id\timage\tvariant\trepetition\tfold\tlabel\tx\ty\tz\t'
        'reference_x\treference_y\treference_z\terror_mm\tstatus\n'
        'sub-1\tsub-1\tnone\t1\t1\tLOFC\t1\t2\t3\t1\t2\t5\t2\tok\n'
        'sub-1\tsub-1\tnone\t1\t1\tROFC\t1\t2\t3\tn/a\tn/a\tn/a\tn/a\tno_reference\n',
        encoding='utf-8',
    )
    assert read_rows(table)['variant'].tolist() == ['none', 'none']
    out.mkdir()
    protocol = load_protocol('tms')
    empty = PointSet.from_mapping({}, protocol.labels)
    records = [
        Record(Example(name, Path(f'{name}_T1w.nii.gz'), empty), '1', Path())
        for name in ('sub-1', 'sub-2')
    ]
    publish(learner_of('crossval', None), records, table, out)
    found = read_predictions(out / 'crossval_protocol-tms_predictions.tsv', protocol)
    assert found is not None
    assert found['variant'].tolist() == ['none', 'none']
    assert found['error_mm'].isna().tolist() == [False, True]
    ensemble = pd.read_csv(out / 'crossval_protocol-tms_ensemble.tsv', sep='\t')
    assert ensemble['dispersion_mm'].isna().all()
    facts = json.loads((out / 'crossval_protocol-tms_predictions.json').read_text('utf-8'))
    assert (facts['TrainingsDone'], facts['Trainings']) == (1, 2 * 5 * 3)
