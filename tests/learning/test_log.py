from __future__ import annotations

import json
import math
from pathlib import Path

from tmsprep.learning.card import Card, common_entries, markdown_table, write_card
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.log import plot_log, write_log
from tmsprep.protocols import load_protocol

LOGS = {
    'one': [
        {'step': 5, 'loss': 0.25, 'validation': math.nan},
        {'step': 10, 'loss': 1 / 3, 'validation': 3.0},
    ],
    'two': [{'step': 5, 'loss': 2.0, 'validation': math.nan}],
}
MEANING = {'one': ('distance (mm)', 'distance (mm)'), 'two': ('Dice', 'Dice')}


def test_table(tmp_path: Path) -> None:
    path = write_log(tmp_path / 'log.tsv', LOGS, 'step', MEANING)
    assert path.read_text() == (
        'network\tstep\tloss\tvalidation\n'
        'one\t5\t0.25\tn/a\none\t10\t0.3333333\t3\ntwo\t5\t2\tn/a\n'
    )
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert 'one: distance (mm); two: Dice' in sidecar['loss']['Description']


def test_figure(tmp_path: Path) -> None:
    path = plot_log(tmp_path / 'figures' / 'curve.svg', LOGS, 'step', MEANING)
    text = path.read_text()
    # A row of panels for each kind of loss; the same log draws the same file.
    assert (text.count('>training set<'), text.count('>validation set<')) == (2, 2)
    assert plot_log(tmp_path / 'again.svg', LOGS, 'step', MEANING).read_text() == text


def test_card(tmp_path: Path) -> None:
    records = [
        Record(Example(name, Path()), '', Path()) for name in ('sub-1_ses-A', 'sub-1_ses-B')
    ]
    entries = common_entries('my', 'Test | data', records, [])
    assert entries['participants'] == (
        '1 participant, 2 images; validation set: 0 participants, 0 images'
    )
    card = Card(entries, [('Network', 'none')], {'Error': ['not measured']})
    text = write_card(tmp_path / 'my.md', load_protocol('tms'), card).read_text()
    assert text.startswith('# my\n\ntmsprep is research software. It is not a medical device')
    assert '\n| Data | Test \\| data |\n' in text
    assert text.endswith('| Network | none |\n\n## Error\n\nnot measured\n')


def test_markdown_table() -> None:
    assert markdown_table(('a', 'b'), [('1', '2')]) == ['| a | b |', '| --- | --- |', '| 1 | 2 |']
