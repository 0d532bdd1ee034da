from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nipype import Workflow

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.interfaces.localize import Locate
from tmsprep.methods import methods_of
from tmsprep.options import NamedPath
from tmsprep.protocols import load_protocol
from tmsprep.workflows.base import init_participant_wf
from tmsprep.workflows.image import Computing

CHECKOUT = Path(__file__).parents[2]
COMMON = {('conform', 'derivatives'), ('conform', 'figures'), ('derivatives', 'figures')}
CNN = {('conform', 'cnn'), ('cnn', 'derivatives')}
SYN = {('conform', 'syn'), ('syn', 'derivatives')}
RESOURCES: dict[str, dict[str, Any]] = {
    'cnn': {'weights': 'w.safetensors', 'weights_sha256': 'abc'},
    'syn': {'atlas': 'a.nii.gz', 'preset': 'paper'},
    'coreunet': {'weights': 'w.safetensors', 'segmentation': ['lpp', 'npp']},
}


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for name in ('sub-01/anat/sub-01_T1w.nii.gz', 'sub-02/ses-A/anat/sub-02_ses-A_run-1_T1w.nii'):
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / 'bids'


def build(
    bids: Path,
    localizers: Sequence[str] = (),
    protocol: str = 'tms',
    derivatives: Sequence[Path] = (),
    **computing: Any,
) -> Workflow:
    of, paths = load_protocol(protocol), sorted(bids.rglob('*.nii*'))
    return init_participant_wf(
        images=[ImageRef.from_path(bids, path) for path in paths],
        protocol=of,
        layout=Layout(bids.parent / 'out', of.name),
        methods=methods_of(of, localizers),
        resources=RESOURCES,
        mem_gb={'cnn': 1.0, 'syn': 3.0, 'coreunet': 2.0},
        computing=Computing(**computing),
        work_dir=bids.parent / 'work',
        derivatives=derivatives,
    )


def one(workflow: Workflow) -> Workflow:
    return workflow.get_node('sub_01_T1w_wf')


def edges(workflow: Workflow) -> set[tuple[str, str]]:
    return {(a.name, b.name) for a, b in workflow._graph.edges}


@pytest.mark.parametrize(
    ('localizers', 'expected'),
    [
        (('cnn',), COMMON | CNN),
        (('syn',), COMMON | SYN),
        (('cnn', 'syn'), COMMON | CNN | SYN | {('cnn', 'syn')}),
    ],
)
def test_graph(bids: Path, localizers: tuple[str, ...], expected: set[tuple[str, str]]) -> None:
    workflow = one(build(bids, localizers))
    names = {'conform', 'derivatives', 'figures', *localizers}
    assert set(workflow.list_node_names()) == names
    assert edges(workflow) == expected


def test_isotropic_graph(bids: Path) -> None:
    workflow = one(build(bids, protocol='locus-coeruleus'))
    assert edges(workflow) == {
        *(('isotropic', node) for node in ('coreunet', 'derivatives', 'figures')),
        ('coreunet', 'derivatives'),
        ('derivatives', 'figures'),
    }
    assert workflow.get_node('isotropic').inputs.voxel_mm == 0.75
    resources = workflow.get_node('coreunet').inputs.resources
    assert resources['segmentation'] == ['lpp', 'npp']


def test_fields(bids: Path) -> None:
    workflow = one(build(bids))
    nodes = {node.name: node for node in workflow._graph.nodes}
    flow = {
        (a, b): set(workflow._graph.edges[nodes[a], nodes[b]]['connect'])
        for a, b in edges(workflow)
    }
    assert flow['cnn', 'syn'] == {('outcome', 'outcome_cnn')}
    assert flow['cnn', 'derivatives'] == {('outcome', 'outcome_cnn')}
    assert flow['syn', 'derivatives'] == {('outcome', 'outcome_syn')}
    fields = ('tables', 'outcomes', 'points')
    assert flow['derivatives', 'figures'] == {(name, name) for name in fields}


def test_settings(bids: Path) -> None:
    workflow = one(build(bids, random_seed=42, threads=3, cpus=4, use_gpu=True))
    syn, cnn = workflow.get_node('syn'), workflow.get_node('cnn')
    assert syn.inputs.resources == RESOURCES['syn']
    assert (syn.inputs.random_seed, syn.inputs.threads) == (42, 3)
    assert (syn.n_procs, cnn.n_procs) == (3, 1)
    assert cnn.inputs.resources['weights_sha256'] == 'abc'
    assert cnn.inputs.protocol == load_protocol('tms')
    # Only what computes there waits for the GPU.
    assert (cnn.inputs.use_gpu, syn.inputs.use_gpu) == (True, False)
    assert (syn.mem_gb, cnn.mem_gb) == (3.0, 1.0)


def test_few_cpus(bids: Path) -> None:
    syn = one(build(bids, ('syn',), threads=3, cpus=2)).get_node('syn')
    # Nipype would never start a node that wants more than there is.
    assert syn.n_procs == 2
    # Points depend on the number of threads, so that must not depend on the number of processes.
    assert syn.inputs.threads == 3


def test_nothing_cached(bids: Path) -> None:
    """Nipype believes what it finds in a working directory."""
    nodes = [
        node
        for protocol in ('tms', 'locus-coeruleus')
        for node in build(bids, protocol=protocol)._get_all_nodes()
    ]
    assert len(nodes) == 2 * (5 + 4)
    assert all(node.interface.always_run for node in nodes)


def test_kept_outcomes(bids: Path) -> None:
    """No two images, methods or protocols share a folder."""
    folders = [
        node.inputs.folder
        for protocol in ('tms', 'locus-coeruleus')
        for node in build(bids, protocol=protocol)._get_all_nodes()
        if isinstance(node.interface, Locate)
    ]
    assert len(set(folders)) == len(folders) == 2 * (2 + 1)
    assert str(bids.parent / 'work' / 'tms_outcomes' / 'sub_01_T1w' / 'syn') in folders


def test_images_share_nothing(bids: Path) -> None:
    workflow = build(bids)
    assert workflow.name == 'tms_wf'
    names = set(workflow.list_node_names())
    assert {name.split('.')[0] for name in names} == {'sub_01_T1w_wf', 'sub_02_ses_A_run_1_T1w_wf'}
    assert len(names) == 2 * 5
    assert edges(workflow) == set()
    flat = workflow._create_flat_graph()
    assert all(a.fullname.split('.')[1] == b.fullname.split('.')[1] for a, b in flat.edges)


@pytest.mark.parametrize('entity', ['', '_protocol-tms'])
def test_given_derivatives(bids: Path, entity: str) -> None:
    old = bids.parent / 'old'
    anat = old / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    mask = anat / f'sub-01{entity}_desc-brain_mask.nii.gz'
    # One folder in BIDS' order, one flat; each transform may lie in either.
    transforms = [
        anat / f'sub-01{entity}_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5',
        old / f'sub-01{entity}_from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5',
    ]
    mask.touch()
    transforms[0].touch()

    def given() -> dict[str, Any]:
        workflow = one(build(bids, ('syn',), derivatives=[NamedPath(old)]))
        resources: dict[str, Any] = workflow.get_node('syn').inputs.resources
        return resources

    (found,) = given()['given']
    assert found['mask'] == str(mask)
    # One transform is not enough.
    assert found['transforms'] == {}
    transforms[1].touch()
    pair = [str(path) for path in transforms]
    assert given()['given'][0]['transforms'] == {'MNI152NLin2009aSym': pair}


BUILD = """
import json, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from test_workflows import build
for protocol in ('tms', 'locus-coeruleus'):
    build(Path({bids!r}), protocol=protocol)._create_flat_graph()
print(json.dumps(sorted({{'torch', 'ants', 'matplotlib', 'nilearn'}} & set(sys.modules))))
"""


def test_building_loads_nothing_heavy(bids: Path) -> None:
    paths = [str(Path(__file__).parent), str(CHECKOUT / 'benchmarks')]
    code = BUILD.format(paths=paths, bids=str(bids))
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize('name', ['image_tms', 'image_locuscoeruleus', 'crossval'])
def test_drawn_graphs(name: str) -> None:
    # Not at the top: the workflow of trainings loads torch, and a process below builds without.
    from workflow_graphs import edges_of, workflows

    text = (CHECKOUT / 'docs' / 'figures' / f'workflow_{name}.svg').read_text(encoding='utf-8')
    drawn = re.findall(r'<title>(\w+)&#45;&gt;(\w+)</title>', text)
    assert set(drawn) == edges_of(workflows()[name])
