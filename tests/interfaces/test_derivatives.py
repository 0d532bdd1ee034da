from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import POINTS
from tmsprep.failures import read_records
from tmsprep.interfaces.derivatives import WriteDerivatives
from tmsprep.methods import register, unregister
from tmsprep.methods.base import Method, Request
from tmsprep.outcome import Outcome
from tmsprep.own_points import OwnPoints
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.template import TemplateMap

IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))


def test_image_replaced_between_methods(tmp_path: Path) -> None:
    """Methods on different grids read the image one after the other."""
    properties = {'path': str(IMAGE.path), 'shape': [2, 2, 2], 'affine': np.eye(4).tolist()}
    for name in 'ab':
        content = {**properties, 'sha256': 64 * name}
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    common = {
        'methods': [],
        'image': IMAGE,
        'layout': Layout(tmp_path / 'out', 'tms'),
        'protocol': load_protocol('tms'),
        'properties': tmp_path / 'a.json',
        'random_seed': 1,
    }
    WriteDerivatives(**common, properties_again=tmp_path / 'a.json').run(cwd=tmp_path)
    with pytest.raises(ValueError, match=r'sub-01_T1w\.nii\.gz: the file was replaced while'):
        WriteDerivatives(**common, properties_again=tmp_path / 'b.json').run(cwd=tmp_path)


class BrokenWay(Method):
    """Its registration cannot be read."""

    name = 'broken'
    title = 'Broken'
    description = 'Broken'

    def locate(self, request: Request) -> Outcome:
        raise NotImplementedError

    def template_map(
        self, outcome: Outcome, image: ImageRef, layout: Layout, sha256: str
    ) -> TemplateMap:
        def move(points: np.ndarray) -> np.ndarray:
            raise ValueError('x.h5: damaged. Delete it')

        return TemplateMap('broken', 'MNI152NLin2009aSym', '', move, move)


def test_points_that_fail_leave_the_targets_alone(tmp_path: Path) -> None:
    register('broken', f'{__name__}:BrokenWay')
    protocol, layout = load_protocol('tms'), Layout(tmp_path / 'out', 'tms')
    places = PointSet(protocol.labels, np.arange(33.0).reshape(11, 3))
    outcome = Outcome('broken', places).write(tmp_path / 'outcome.json')
    properties = {'path': 'x', 'shape': [90] * 3, 'affine': np.eye(4).tolist(), 'sha256': 'abc'}
    (tmp_path / 'properties.json').write_text(json.dumps(properties))
    interface = WriteDerivatives(
        methods=['broken'],
        image=IMAGE,
        layout=layout,
        protocol=protocol,
        properties=tmp_path / 'properties.json',
        conformed=tmp_path / 'properties.json',
        chosen=[],
        own_points=OwnPoints({'SMA': (0.0, -6.0, 58.0)}, 'MNI152NLin2009aSym'),
        random_seed=1,
    )
    interface.inputs.outcome_broken = str(outcome)
    result = interface.run(cwd=tmp_path).outputs
    unregister('broken')
    assert set(result.tables) == {'broken'}
    assert result.points == ''
    assert not layout.table(IMAGE, POINTS).exists()
    (record,) = read_records(layout, '01')
    assert (record.node, record.tables_are_older) == (POINTS, False)
    assert record.message == 'x.h5: damaged. Delete it'
