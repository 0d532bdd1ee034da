from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scalp_data import as_image, with_air

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.head import MeanHead
from tmsprep.interfaces.derivatives import WriteDerivatives
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.scalp.table import POSITIONS
from tmsprep.tables import COIL_COLUMNS

TMS = load_protocol('tms')
HEAD = MeanHead.load(TMS.file(TMS.head))
IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))


def write(folder: Path, outcome: Outcome) -> tuple[Path, Path]:
    """Write the derivatives of the mean head, and name the table of targets and the positions."""
    image, layout = with_air(as_image(HEAD)), Layout(folder / 'out', 'tms')
    nib.save(image, folder / 'conformed.nii')
    properties = {'path': str(IMAGE.path), 'sha256': 64 * 'a', 'shape': list(image.shape)}
    properties['affine'] = image.affine.tolist()
    (folder / 'properties.json').write_text(json.dumps(properties))
    writer = WriteDerivatives(
        methods=['cnn'],
        image=IMAGE,
        layout=layout,
        protocol=TMS,
        properties=folder / 'properties.json',
        conformed=folder / 'conformed.nii',
        random_seed=1,
        chosen=[],
    )
    writer.inputs.outcome_cnn = str(outcome.write(folder / 'outcome.json'))
    writer.run(cwd=folder)
    return layout.table(IMAGE, 'cnn'), layout.table(IMAGE, *POSITIONS)


def test_mean_head(tmp_path: Path) -> None:
    """Over a head whose points and landmarks are known; one point is on the wrong side."""
    places = HEAD.landmarks.copy()
    places[TMS.labels.index('LOFC'), 0] += 60
    outcome = Outcome('cnn', PointSet(HEAD.labels, places))
    table_path, positions_path = write(tmp_path, outcome)
    table = pd.read_csv(table_path, sep='\t', na_values='n/a').set_index('label')
    assert table.loc['LOFC', 'status'] == 'wrong_side'
    # No coil is laid over a point that must not be used.
    assert table.loc['LOFC', list(COIL_COLUMNS)].isna().all()
    others = table.drop('LOFC')
    assert others[list(COIL_COLUMNS)].notna().all(axis=None)
    assert others['scalp_distance_mm'].between(10, 36).all()
    way = others[['entry_x', 'entry_y', 'entry_z']].to_numpy() - others[list('xyz')].to_numpy()
    along = way / others['scalp_distance_mm'].to_numpy()[:, None]
    np.testing.assert_allclose(along, others[['normal_x', 'normal_y', 'normal_z']], atol=1e-3)
    sidecar = json.loads(table_path.with_suffix('.json').read_text())
    assert sidecar['Scalp']['Handle']['LDLPFC']['Degrees'] == 45
    assert set(COIL_COLUMNS) <= set(sidecar)

    positions = pd.read_csv(positions_path, sep='\t').set_index('label')
    assert list(positions.index[:5]) == ['F3', 'F4', 'C3', 'C4', 'Cz']
    place = positions[list('xyz')]
    assert np.abs(place.loc['Nasion'] - TMS.fiducials['nasion']).max() < 6
    # The head is symmetric, about x = 4, but for a small turn.
    for left, right in (('F3', 'F4'), ('C3', 'C4'), ('BeamF3', 'BeamF4')):
        assert abs(place.loc[left, 'x'] + place.loc[right, 'x'] - 8.6) < 8
        assert abs(place.loc[left, 'z'] - place.loc[right, 'z']) < 5
    assert np.linalg.norm(place.loc['F3'] - place.loc['BeamF3']) < 8
    measures = json.loads(positions_path.with_suffix('.json').read_text())['Measures']
    assert measures['Units'] == 'mm'
    assert 330 < measures['NasionInion'] < 400
    assert 60 < measures['BeamX'] < 72

    # Another run on an image in which nothing may be relied on leaves no positions.
    write(tmp_path, Outcome('cnn', outcome.points, findings=['it is no head']))
    assert not positions_path.exists()
    assert not positions_path.with_suffix('.json').exists()
