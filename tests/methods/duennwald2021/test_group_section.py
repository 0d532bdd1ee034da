from __future__ import annotations

from pathlib import Path

import pandas as pd
from coeruleus_tables import made
from report_data import Page

from tmsprep.bids.names import Layout
from tmsprep.methods.duennwald2021.group_section import facts, group_sections, level_tables
from tmsprep.protocols import load_protocol
from tmsprep.reports.group import GroupContent, Remark, write_group_report

PROTOCOL = load_protocol('locus-coeruleus')


def write(out: Path, tables: dict[str, pd.DataFrame], *levels: str) -> Page:
    layout = Layout(out, PROTOCOL.name)
    settings = {level: {'Data': 'made', 'Folds': 5, 'HeldOut': 23} for level in levels}
    sections = group_sections(tables, layout, PROTOCOL, settings)
    remarks = [Remark('sub-3', 'lost <b>& gone</b>')]
    content = GroupContent(3, sections=sections, remarks=remarks)
    return Page(write_group_report(layout, PROTOCOL, content))


def test_report(tmp_path: Path) -> None:
    page = write(tmp_path, made(), 'crossval')
    page.assert_alone()
    assert len(page.images) == 2
    assert 'lost &lt;b&gt;&amp; gone&lt;/b&gt;' in page.source
    assert '3 participants, 2 targets' in page.text
    assert 'Data: made.' in page.text
    assert 'is off by 2.00 mm (LLC), 2.00 mm (RLC)' in page.text
    assert 'group_protocol-locuscoeruleus_table1.tsv' in page.text
    assert write(tmp_path, made(), 'crossval').source == page.source


def test_points_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path, PROTOCOL.name)
    chart = tmp_path / 'figures' / layout.level('group', 'crossval-errors', '.svg').name
    chart.parent.mkdir()
    chart.write_text('of an earlier run')
    tables = made(source='participant')
    few = {name: tables[name] for name in ('table1', 'errors')}
    few['errors']['augmentation'] = None
    few['table1']['augmentation'] = float('nan')
    page = write(tmp_path, few, 'participant')
    assert 'nothing was segmented' in page.text
    assert 'network of the participant level' in page.text
    assert not chart.exists()


def test_facts() -> None:
    assert facts(made(), 'crossval') == [
        'Mean error, with augmentation: 1.00 mm (left 1.00 mm, right 1.00 mm).',
        'Mean error, no augmentation: 3.00 mm (left 3.00 mm, right 3.00 mm).',
        'Augmentation changes the mean error left to 33 %, right to 33 %.',
        'Largest median Dice, left: 0.60 (LPP).',
        'Largest median Dice, right: 0.60 (LPP).',
        'Largest mean ICC, maximum contrast: 0.90 (LPP).',
        'Largest mean ICC, median contrast: 0.90 (LPP).',
    ]
    assert facts({}, 'crossval') == []


def test_tables() -> None:
    assert level_tables({}, 'crossval') == {}
    tables = level_tables(made(), 'crossval')
    assert list(tables) == ['table1', 'augmentation', 'axes', 'segmentation', 'icc_mean', 'tests']
    assert tables['table1'].rows[0] == [
        *('with augmentation', 'left', '1.00 (1.33)', '0.50 (0.67)', '0.90 to 1.10'),
        *('115', '23', '0'),
    ]
    assert tables['augmentation'].rows[0][:4] == ['left', '1.00', '3.00', '0.33']
    assert tables['tests'].rows[0][-1] == '< 0.001'
    # -0.001 mm without the sign.
    assert tables['axes'].rows[0][-1] == '0.00'
