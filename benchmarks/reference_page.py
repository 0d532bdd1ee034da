"""Compare reference points with earlier ones, and write ``docs/reference_points.md``.

``python benchmarks/reference_page.py DATA NEW MANUAL`` with DATA as for `reference`, which has the
earlier points in ``derivatives/reference``, NEW the folder that `reference` wrote, and MANUAL
parcellations (``sub-*_dseg.nii.gz``) of other scans, made by hand. Training participants alone,
and the first eight of the manual parcellations.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tmsprep.atomic import write_text
from tmsprep.formats.targets_tsv import read_targets, write_table
from tmsprep.protocols import load_protocol

from reference import LABELS, reference
from reference_parts.measure import by_label, inside, moved
from reference_parts.regions import Parcellation, fit, parcellation_path, read_landmarks

DOCS = Path(__file__).resolve().parents[1] / 'docs'
PAGE = Path(__file__).with_name('reference_parts') / 'page.md'

#: Every nth training participant is measured; of these, in every nth the starts are moved.
MEASURED_EVERY, MOVED_EVERY = 3, 4

#: The default atlas before its points lay on crowns, mm.
EARLIER_ATLAS = {
    'LOFC': (-34, 54, -14),
    'ROFC': (34, 54, -14),
    'LDLPFC': (-42, 44, 30),
    'RDLPFC': (42, 44, 30),
    'LHESCHL': (-52, -17, 3),
    'LFACEMC': (-56, -8, 46),
    'RFACEMC': (56, -8, 46),
    'LLLIMBMC': (-5, -23, 74),
    'RLLIMBMC': (5, -24, 74),
    'LULIMBMC': (-42, -21, 62),
    'RULIMBMC': (42, -21, 62),
}

#: Manual parcellations that may be used for choosing.
MANUAL = 8


def compare(data: Path, new: Path) -> Iterator[dict[str, object]]:
    """Measure earlier and new points of every third training participant."""
    split = pd.read_csv(data / 'split.tsv', sep='\t', dtype=str)
    names = split.loc[split['split'] == 'train', 'participant_id'].tolist()[::MEASURED_EVERY]
    for number, name in enumerate(tqdm(names, unit='participant')):
        brain = Parcellation.read(parcellation_path(data, name))
        frame = fit(brain, read_landmarks())
        file = Path(name) / 'anat' / f'{name}_desc-reference_targets.tsv'
        old = read_targets(data / 'derivatives' / 'reference' / file).reindex(LABELS)
        points = read_targets(new / file).reindex(LABELS)
        for label, before, now in zip(LABELS, old.coordinates, points.coordinates, strict=True):
            landmark = by_label(label)
            row: dict[str, object] = {'participant': name, 'label': label}
            row['old_new_mm'] = np.linalg.norm(now - before)
            row['old_inside'], row['old_border_mm'] = inside(brain, landmark, before)
            row['inside'], row['border_mm'] = inside(brain, landmark, now)
            if number % MOVED_EVERY == 0:
                row['along_mm'], row['across_mm'] = moved(brain, frame, landmark, now)
            yield row


def manual(folder: Path) -> Iterator[dict[str, object]]:
    """Measure new points in the first manual parcellations."""
    for path in tqdm(sorted(folder.glob('sub-*_dseg.nii.gz'))[:MANUAL], unit='scan'):
        brain = Parcellation.read(path)
        frame = fit(brain, read_landmarks())
        points = reference(brain)
        for label, point in zip(LABELS, points.coordinates, strict=True):
            row: dict[str, object] = {'label': label}
            row['inside'], row['border_mm'] = inside(brain, by_label(label), point)
            row['along_mm'], row['across_mm'] = moved(brain, frame, by_label(label), point)
            yield row


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the points of each target; shares in percent, medians in mm."""
    groups = rows.groupby('label', sort=False)
    table = pd.DataFrame({'points': groups['inside'].count()})
    for column in rows.columns.drop(['label', 'participant'], errors='ignore'):
        share = column.endswith('inside')
        values = 100 * groups[column].mean() if share else groups[column].median()
        table[column] = values.round(0 if share else 1)
    return table.reset_index()


def atlas() -> pd.DataFrame:
    """Compare the points of the default atlas with the earlier ones, mm in the template."""
    protocol = load_protocol('tms')
    today = read_targets(protocol.file(protocol.atlas['points'])).reindex(LABELS).coordinates
    earlier = np.array([EARLIER_ATLAS[label] for label in LABELS])
    return pd.DataFrame(
        {
            'label': LABELS,
            'earlier': [', '.join(f'{x:g}' for x in point) for point in earlier],
            'default_atlas': [', '.join(f'{x:g}' for x in point) for point in today],
            'apart_mm': np.linalg.norm(today - earlier, axis=1).round(1),
        }
    )


def markdown(table: pd.DataFrame) -> str:
    """Format a table for the page."""
    names = [column.replace('_', ' ').replace(' mm', ', mm') for column in table.columns]
    lines = [' | '.join(names), ' | '.join('---' for _ in names)]
    lines += [' | '.join(_cell(value) for value in row) for row in table.itertuples(index=False)]
    return '\n'.join(f'| {line} |' for line in lines)


def _cell(value: object) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)


def main() -> None:
    """Measure, and write tables and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('new', type=Path)
    parser.add_argument('manual', type=Path)
    options = parser.parse_args()
    trained = summarise(pd.DataFrame(compare(options.data, options.new)))
    by_hand = summarise(pd.DataFrame(manual(options.manual)))
    write_table(DOCS / 'tables' / 'reference_points.tsv', trained)
    write_table(DOCS / 'tables' / 'reference_points_manual.tsv', by_hand)
    text = PAGE.read_text(encoding='utf-8').format(
        trained=markdown(trained), manual=markdown(by_hand), atlas=markdown(atlas())
    )
    write_text(DOCS / 'reference_points.md', text)


if __name__ == '__main__':
    main()
