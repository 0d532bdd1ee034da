from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.bids import ImageRef
from tmsprep.config import RunConfig

CHECKOUT = Path(__file__).parents[2]
CNN_EDGES = {('conform', 'cnn'), ('cnn', 'derivatives')}
SYN_EDGES = {
    ('conform', 'registration_wf'),
    ('registration_wf', 'derivatives'),
    ('registration_wf', 'figures'),
}
COMMON_EDGES = {('conform', 'derivatives'), ('conform', 'figures'), ('derivatives', 'figures')}
INNER = {f'registration_wf.{name}' for name in ('inputnode', 'brain', 'syn', 'outputnode')}


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for name in ('sub-01/anat/sub-01_T1w.nii.gz', 'sub-02/ses-A/anat/sub-02_ses-A_run-1_T1w.nii'):
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        path.touch()
    for name in ('w.safetensors', 'brain.safetensors', 'atlas.nii.gz', 'atlas.tsv'):
        (tmp_path / name).touch()
    return tmp_path / 'bids'


def images(bids: Path) -> dict[str, list[ImageRef]]:
    found = [ImageRef.from_path(bids, path) for path in sorted(bids.rglob('*.nii*'))]
    return {image.subject: [image] for image in found}


def config(bids: Path, **settings: object) -> RunConfig:
    return RunConfig(bids, bids.parent / 'out', work_dir=bids.parent / 'work', **settings)


def resources(bids: Path, **settings: object):
    from tmsprep.workflows.resources import RunResources

    folder = bids.parent
    weights, brain = folder / 'w.safetensors', folder / 'brain.safetensors'
    return RunResources(('A', 'B'), weights, 'abc', brain, **settings)


def one(bids: Path, localizers: tuple[str, ...], **settings: object):
    from tmsprep.workflows.t1w import init_t1w_wf

    image = images(bids)['01'][0]
    return init_t1w_wf(
        image=image,
        config=config(bids, localizers=localizers, **settings),
        resources=resources(bids),
    )


def edges(workflow) -> set[tuple[str, str]]:
    return {(a.name, b.name) for a, b in workflow._graph.edges}


def fields(workflow, source: str, destination: str) -> set[tuple[str, str]]:
    nodes = {node.name: node for node in workflow._graph.nodes}
    return set(workflow._graph.edges[nodes[source], nodes[destination]]['connect'])


@pytest.mark.parametrize(
    ('localizers', 'nodes', 'expected'),
    [
        (('cnn',), {'cnn'}, COMMON_EDGES | CNN_EDGES),
        (('syn',), INNER, COMMON_EDGES | SYN_EDGES),
        (
            ('cnn', 'syn'),
            INNER | {'cnn'},
            COMMON_EDGES | CNN_EDGES | SYN_EDGES | {('cnn', 'registration_wf')},
        ),
    ],
)
def test_the_graph_of_one_image(
    bids: Path, localizers: tuple[str, ...], nodes: set[str], expected: set[tuple[str, str]]
) -> None:
    workflow = one(bids, localizers)
    assert set(workflow.list_node_names()) == {'conform', 'derivatives', 'figures'} | nodes
    assert edges(workflow) == expected


def test_what_flows_along_the_edges(bids: Path) -> None:
    workflow = one(bids, ('cnn', 'syn'))
    assert fields(workflow, 'cnn', 'derivatives') == {('outcome', 'cnn')}
    assert fields(workflow, 'registration_wf', 'derivatives') == {
        ('outputnode.outcome', 'syn'),
        ('outputnode.mask', 'mask'),
        ('outputnode.transforms', 'transforms'),
    }
    assert fields(workflow, 'cnn', 'registration_wf') == {('outcome', 'inputnode.approximate')}
    inner = workflow.get_node('registration_wf')
    assert edges(inner) == {
        ('inputnode', 'brain'),
        ('inputnode', 'syn'),
        ('brain', 'syn'),
        ('brain', 'outputnode'),
        ('syn', 'outputnode'),
    }


def test_settings_reach_their_nodes(bids: Path) -> None:
    atlas = {'atlas': bids.parent / 'atlas.nii.gz', 'atlas_targets': bids.parent / 'atlas.tsv'}
    workflow = one(
        bids,
        ('cnn', 'syn'),
        random_seed=42,
        syn_preset='paper',
        omp_nthreads=3,
        nprocs=4,
        device='cuda',
        **atlas,
    )
    syn, cnn = workflow.get_node('registration_wf.syn'), workflow.get_node('cnn')
    assert syn.inputs.preset == 'paper'
    assert syn.inputs.random_seed == 42
    assert syn.inputs.itk_threads == 3
    assert syn.n_procs == 3
    # Nipype would never start a node that wants more than there is.
    few = one(bids, ('syn',), omp_nthreads=3, nprocs=2).get_node('registration_wf.syn')
    assert few.n_procs == 2
    # Points depend on the number of threads, so that must not depend on the number of processes.
    assert few.inputs.itk_threads == 3
    assert syn.inputs.atlas == str(atlas['atlas'])
    assert cnn.inputs.use_gpu
    assert cnn.inputs.weights_sha256 == 'abc'
    assert (
        one(bids, ('syn',), sloppy=True).get_node('registration_wf.syn').inputs.preset == 'sloppy'
    )


def test_people_do_not_share_nodes(bids: Path) -> None:
    from tmsprep.workflows.base import init_tmsprep_wf

    workflow = init_tmsprep_wf(config=config(bids), images=images(bids), resources=resources(bids))
    names = set(workflow.list_node_names())
    parts = {name.split('.')[0] for name in names}
    assert parts == {'sub_01_T1w_wf', 'sub_02_ses_A_run_1_T1w_wf'}
    assert len(names) == 2 * 8
    assert edges(workflow) == set()
    flat = workflow._create_flat_graph()
    assert all(a.fullname.split('.')[1] == b.fullname.split('.')[1] for a, b in flat.edges)


def test_earlier_masks_and_transforms_are_used_again(bids: Path) -> None:
    from tmsprep.workflows.registration import init_registration_wf

    old = bids.parent / 'old'
    anat = old / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    mask = anat / 'sub-01_desc-brain_mask.nii.gz'
    # One folder in BIDS' order, one flat; each transform may lie in either.
    transforms = [
        anat / 'sub-01_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5',
        old / 'sub-01_from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5',
    ]
    mask.touch()
    transforms[0].touch()
    image = images(bids)['01'][0]

    def build():
        shared = resources(bids, derivatives=(old,))
        return init_registration_wf(image=image, config=config(bids), resources=shared)

    assert build().get_node('brain').inputs.given_mask == str(mask)
    # One transform is not enough.
    assert not isinstance(build().get_node('syn').inputs.given_transforms, list)
    transforms[1].touch()
    assert build().get_node('syn').inputs.given_transforms == [str(path) for path in transforms]


def test_missing_weights_are_named(bids: Path) -> None:
    from tmsprep.networks.archive import WeightsError
    from tmsprep.workflows.resources import gather_resources

    with pytest.raises(WeightsError, match=r'none\.safetensors'):
        gather_resources(config(bids, weights=bids / 'none.safetensors'))
    # Registration alone does not need the localiser's weights.
    without = gather_resources(
        config(bids, weights=bids / 'none.safetensors', localizers=('syn',))
    )
    assert without.weights_sha256 == ''
    assert len(without.labels) == 11


def test_another_image_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    from tmsprep.workflows.t1w import fingerprint

    path = tmp_path / 'a.nii'
    assert fingerprint(path) == 'unreadable'
    path.write_text('1')
    before = fingerprint(path)
    path.write_text('12')
    assert fingerprint(path) != before


BUILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_workflows import config, images, resources
from tmsprep.workflows.base import init_tmsprep_wf
bids = Path({bids!r})
workflow = init_tmsprep_wf(config=config(bids), images=images(bids), resources=resources(bids))
workflow._create_flat_graph()
print(json.dumps(sorted({{'torch', 'ants', 'matplotlib', 'nilearn'}} & set(sys.modules))))
"""


def test_building_loads_neither_torch_nor_ants(bids: Path) -> None:
    code = BUILD.format(tests=str(Path(__file__).parent), bids=str(bids))
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == []
