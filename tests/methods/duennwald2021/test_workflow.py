from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.bids import ImageRef
from tmsprep.config import RunConfig
from tmsprep.reports.collect import ErrorRecord
from tmsprep.workflows.coeruleus import CoeruleusResources, init_coeruleus_wf

NAME = 'sub-01_acq-neuromelanin_T1w'


@pytest.fixture
def workflow(tmp_path: Path):
    path = tmp_path / f'bids/sub-01/anat/{NAME}.nii.gz'
    path.parent.mkdir(parents=True)
    path.touch()
    weights = tmp_path / 'w.safetensors'
    weights.touch()
    config = RunConfig(
        tmp_path / 'bids',
        tmp_path / 'out',
        protocol='locus-coeruleus',
        segmentation=('npp', 'lpp'),
        work_dir=tmp_path / 'work',
    )
    images = {'01': [ImageRef.from_path(config.bids_dir, path)]}
    return init_coeruleus_wf(
        config=config, images=images, resources=CoeruleusResources(weights, 'abc')
    )


def one(workflow):
    return workflow.get_node(NAME.replace('-', '_') + '_wf')


def test_the_graph_of_one_image(workflow) -> None:
    edges = {(a.name, b.name) for a, b in one(workflow)._graph.edges}
    short = {(a.removeprefix('coeruleus_'), b.removeprefix('coeruleus_')) for a, b in edges}
    assert short == {
        *(('conform', step) for step in ('locate', 'segment', 'derivatives', 'figures')),
        *(('locate', step) for step in ('segment', 'derivatives', 'figures')),
        *(('segment', step) for step in ('derivatives', 'figures')),
        ('derivatives', 'figures'),
    }


def test_settings_reach_their_nodes(workflow) -> None:
    nodes = {node.name: node.inputs for node in one(workflow)._graph.nodes}
    assert nodes['coeruleus_conform'].voxel_mm == 0.75
    assert nodes['coeruleus_segment'].methods == ['npp', 'lpp']
    assert nodes['coeruleus_locate'].weights_sha256 == 'abc'


def test_reports_know_the_steps_by_their_names(workflow) -> None:
    names = [node.name for node in one(workflow)._graph.nodes]
    records = [ErrorRecord(name, '', '', '', '') for name in names]
    assert all(record.of_coeruleus for record in records)
    # A step that crashed before the tables hides them; the last one does not.
    after = [record.node for record in records if not record.tables_are_older]
    assert after == ['coeruleus_figures']
