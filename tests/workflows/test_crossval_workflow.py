from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from coeruleus_data import rods, write_bids, write_mask
from coeruleus_data import write_image as write_rods
from scipy.ndimage import gaussian_filter

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.learning.examples import Example, participants_of
from tmsprep.learning.kept import load_checked
from tmsprep.learning.plan import Training
from tmsprep.methods import get_method
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

CHECKOUT = Path(__file__).parents[2]
LABELS = load_protocol('tms').labels
TRAININGS = {f'shared_rep{r}_fold0{f}' for r in (1, 2) for f in (1, 2, 3)}
OPTIONS = {
    'tms': {
        **{'recipe': 'quick', 'steps': 1, 'repetitions': 2, 'residual': ('shared',)},
        **{'random_seed': 5, 'folds': None},
    },
    'locus-coeruleus': {
        **{'recipe': 'quick', 'epochs': 1, 'repetitions': 1, 'random_seed': 1, 'folds': 2},
        **{'held_out': 2, 'augmentation': ('with', 'without')},
        'segmentation': ('npp', 'pp', 'lpp'),
    },
}


def write_image(path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    data = gaussian_filter(generator.random((50, 60, 60)), 2).astype(np.float32)
    data = 1000 * (data - data.min())
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)


@pytest.fixture(scope='module')
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    bids = tmp_path_factory.mktemp('data') / 'bids'
    found = []
    for i in (1, 2, 3):
        path = bids / f'sub-0{i}' / 'anat' / f'sub-0{i}_T1w.nii.gz'
        write_image(path, i)
        points = np.random.default_rng(i).uniform(60, 140, (11, 3))
        points[0] = np.nan if i == 1 else points[0]
        found.append(Example(f'sub-0{i}', path, PointSet(LABELS, points)))
    return found


def build(examples: list[Example], folder: Path, protocol: str = 'tms', **options: Any) -> Any:
    from tmsprep.workflows.crossval import CrossvalRun, init_crossval_wf

    method = {'tms': 'cnn', 'locus-coeruleus': 'coreunet'}[protocol]
    given = {**OPTIONS[protocol], **options}
    learner = get_method(method).learner(load_protocol(protocol), given)
    assert learner is not None
    run = CrossvalRun(
        method,
        learner,
        learner.plan(participants_of(examples), examples),
        examples,
        {e.name: ImageRef.from_path(e.image.parents[2], e.image) for e in examples},
        Layout(folder / 'out', protocol),
        {'Data': 'a test'},
    )
    return init_crossval_wf(run=run, work_dir=folder / 'work')


def table(folder: Path, name: str, protocol: str = 'tms') -> pd.DataFrame:
    path = Layout(folder / 'out', protocol).level('crossval', name)
    return pd.read_csv(path, sep='\t', na_values='n/a', keep_default_na=False)


def sidecar(folder: Path, name: str, protocol: str = 'tms') -> dict[str, Any]:
    path = Layout(folder / 'out', protocol).level('crossval', name, '.json')
    return json.loads(path.read_text())


def trained(folder: Path) -> dict[str, int]:
    """Time of writing of every finished training."""
    paths = (folder / 'work').rglob('training.json')
    return {path.parts[-3]: path.stat().st_mtime_ns for path in paths}


def weights(folder: Path) -> dict[str, bytes]:
    """Content of every trained network below a folder."""
    found = {}
    for path in folder.rglob('network.pt'):
        state = load_checked(path)['network']
        found[path.parts[-3]] = b''.join(v.numpy().tobytes() for v in state.values())
    return found


@pytest.fixture(scope='module')
def finished(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('run')
    build(examples, folder).run(plugin='Linear')
    return folder


def inputs_of(workflow: Any, name: str) -> set[str]:
    """Names of the nodes whose records a node gets."""
    found, waiting = set(), [name]
    while waiting:
        target = waiting.pop()
        for node, other in workflow._graph.edges:
            if other.name == target:
                found.add(node.name)
                waiting.append(node.name)
    return {name for name in found if name.startswith('prepare_')}


def test_graph(examples: list[Example], tmp_path: Path) -> None:
    workflow = build(examples, tmp_path, residual=('none', 'shared'), repetitions=1, folds=2)
    names = set(workflow.list_node_names())
    trainings = {f'{v}_rep1_fold0{k}' for v in ('none', 'shared') for k in (1, 2)}
    assert names >= trainings | {f'test_{name}' for name in trainings} | {'gather'}
    first = inputs_of(workflow, 'none_rep1_fold01')
    tested = inputs_of(workflow, 'test_none_rep1_fold01') - first
    # A training gets the records of its training set and nothing of the others.
    assert len(first) + len(tested) == 3
    assert inputs_of(workflow, 'shared_rep1_fold01') == first
    node = workflow.get_node('shared_rep1_fold01')
    assert json.loads(node.inputs.options) == {'recipe': 'quick', 'steps': 1}
    assert node.n_procs == node.inputs.threads == 1


def test_tables(finished: Path) -> None:
    assert set(trained(finished)) == TRAININGS
    predictions = table(finished, 'predictions')
    assert len(predictions) == 3 * 2 * 11
    lacking = predictions[predictions['status'] == 'no_reference']
    assert set(zip(lacking['participant_id'], lacking['label'], strict=True)) == {
        ('sub-01', LABELS[0])
    }
    by_hand = np.linalg.norm(
        predictions[['x', 'y', 'z']].to_numpy()
        - predictions[['reference_x', 'reference_y', 'reference_z']].to_numpy(),
        axis=1,
    )
    np.testing.assert_allclose(predictions['error_mm'], by_hand, atol=1e-3)
    # Equation 3 of two repetitions is half of their distance.
    one, two = (predictions[predictions['repetition'] == r] for r in (1, 2))
    axes = ['x', 'y', 'z']
    apart = np.linalg.norm(one[axes].to_numpy() - two[axes].to_numpy(), axis=1)
    ensemble = table(finished, 'ensemble').set_index(['image', 'label'])
    found = ensemble.loc[list(zip(one['image'], one['label'], strict=True)), 'dispersion_mm']
    np.testing.assert_allclose(found, apart / 2, atol=1e-3)
    assert len(table(finished, 'summary')) == 3 * (11 + 2)
    entries = sidecar(finished, 'summary')
    assert (entries['Recipe']['name'], entries['Recipe']['steps']) == ('quick', 1)
    assert (entries['Data'], entries['Variants'], entries['Images']) == ('a test', ['shared'], 3)


def flip(path: Path) -> None:
    """Turn one bit over, without a trace in size or time."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


#: Damage, where, and the trainings that it costs.
DAMAGE: dict[str, tuple[Callable[[Path], None], str, set[str]]] = {
    'network_flipped': (flip, 'shared_rep1_fold02/*/network.pt', {'shared_rep1_fold02'}),
    'summary_cut': (cut, 'shared_rep2_fold03/*/training.json', {'shared_rep2_fold03'}),
    'training_gone': (shutil.rmtree, 'trained/shared_rep2_fold01', {'shared_rep2_fold01'}),
    'seal_cut': (cut, 'trained/shared_rep1_fold03/*/checksums.json', {'shared_rep1_fold03'}),
    'rows_flipped': (flip, 'test_shared_rep1_fold01/*/rows.json', set()),
    'rows_gone': (Path.unlink, 'test_shared_rep1_fold03/*/rows.json', set()),
    'image_flipped': (flip, 'prepared/sub-02_*/sub-02.npy', set()),
    'facts_cut': (cut, 'prepared/sub-03_*/facts.json', set()),
    'prepared_gone': (shutil.rmtree, 'prepared', set()),
    'nipype': (cut, 'crossval_wf/gather/result_gather.pklz', set()),
    'nipype_merge': (cut, 'crossval_wf/records01/result_records01.pklz', set()),
    'nipype_training': (flip, 'crossval_wf/shared_rep1_fold01/result_*.pklz', set()),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_damage(examples: list[Example], finished: Path, name: str) -> None:
    """What is damaged is made again, and nothing else; the tables are the same."""
    damage, pattern, lost = DAMAGE[name]
    before, content, times = weights(finished), table(finished, 'predictions'), trained(finished)
    (path,) = (
        p for p in (finished / 'work').rglob(pattern.split('/')[-1]) if p.match(f'*{pattern}')
    )
    damage(path)
    Layout(finished / 'out', 'tms').level('crossval', 'summary').unlink()
    build(examples, finished).run(plugin='Linear')
    after = trained(finished)
    assert {n for n in TRAININGS if after[n] != times[n]} == lost
    assert weights(finished) == before
    pd.testing.assert_frame_equal(table(finished, 'predictions'), content)
    assert len(table(finished, 'summary')) == 39


def test_more_repetitions(examples: list[Example], finished: Path) -> None:
    before, content = trained(finished), table(finished, 'predictions')
    build(examples, finished, repetitions=3).run(plugin='Linear')
    after = trained(finished)
    assert set(after) - set(before) == {f'shared_rep3_fold0{i}' for i in (1, 2, 3)}
    assert all(after[name] == before[name] for name in before)
    more = table(finished, 'predictions')
    pd.testing.assert_frame_equal(more[more['repetition'] < 3].reset_index(drop=True), content)


def test_bad_image(examples: list[Example], tmp_path: Path) -> None:
    bids = tmp_path / 'bids'
    moved = []
    for example in examples:
        path = bids / example.image.relative_to(example.image.parents[2])
        path.parent.mkdir(parents=True)
        os.link(example.image, path)
        moved.append(replace(example, image=path))
    moved[1].image.unlink()
    moved[1].image.write_bytes(b'no image')
    build(moved, tmp_path, repetitions=1).run(plugin='Linear')
    predictions = table(tmp_path, 'predictions')
    lost = predictions[predictions['participant_id'] == 'sub-02']
    assert set(lost['status']) == {'failed'}
    assert lost['error_mm'].isna().all()
    # Without sub-02 no image of sub-03's training set has the target that sub-01 lacks.
    failed = predictions[(predictions['status'] == 'failed') & ~predictions.index.isin(lost.index)]
    assert list(zip(failed['participant_id'], failed['label'], strict=True)) == [
        ('sub-03', LABELS[0])
    ]
    image = ImageRef.from_path(bids, moved[1].image)
    record = json.loads(Layout(tmp_path / 'out', 'tms').record(image, 'prepare').read_text())
    assert 'sub-02_T1w.nii.gz' in record['message']
    assert list(sidecar(tmp_path, 'predictions')['ImagesLeftOut']) == ['sub-02']


def test_resume(finished: Path, tmp_path: Path) -> None:
    from nipype import Node

    from tmsprep.interfaces.crossval import Train

    first = next((finished / 'work').rglob('shared_rep1_fold01/*/network.pt'))
    records = load_checked(first)['records']

    def node(seed: int) -> Node:
        interface = Train(
            method='cnn',
            protocol=load_protocol('tms'),
            options='{"recipe": "quick", "steps": 3}',
            training=json.dumps(vars(Training('t', variant='none', seed=seed))),
            folder=str(tmp_path / 'kept'),
            records=records,
        )
        return Node(interface, name='train', base_dir=str(tmp_path))

    node(1).run()
    (folder,), unbroken = (tmp_path / 'kept' / 't').iterdir(), weights(tmp_path)
    # What a kill leaves: no result, and a checkpoint.
    for seed in (1, 2):
        for name in ('checksums.json', 'network.pt', 'training.json'):
            (folder / name).unlink()
        stopped_training(records, seed, folder / 'checkpoint.pt')
        if seed == 1:
            node(1).run()
            assert weights(tmp_path) == unbroken
            assert not (folder / 'checkpoint.pt').exists()
            continue
        # The checkpoint was read: that of another training is refused.
        with pytest.raises(Exception, match='belongs to another training'):
            node(1).run()


def stopped_training(records: list[str], seed: int, checkpoint: Path) -> None:
    """Train for one step, as the node of `test_resume` does, and stop."""
    from tmsprep.learning.examples import Record
    from tmsprep.learning.train import train_network

    def stop(total: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    learner = get_method('cnn').learner(load_protocol('tms'), {'recipe': 'quick', 'steps': 3})
    assert learner is not None
    training = Training('t', variant='none', seed=seed)
    given = [Record.from_json(text) for text in records]
    with pytest.raises(KeyboardInterrupt):
        train_network(learner, training, given, [], checkpoint=checkpoint, report=stop)


def make_masks(folder: Path) -> list[Example]:
    bids, examples = write_bids(folder / 'bids'), []
    for seed in range(1, 7):
        image = write_rods(bids, f'{seed:02d}', seed)
        mask = write_mask(folder / 'rater', f'{seed:02d}', rods(seed))
        examples.append(Example(image.stem, image.path, mask=mask))
    return examples


def test_held_out(tmp_path: Path) -> None:
    protocol = 'locus-coeruleus'
    examples = make_masks(tmp_path)
    workflow = build(examples, tmp_path, protocol)
    networks = ('localizer_with', 'localizer_without', 'segmenter')
    expected = {f'{network}_fold0{k}' for network in networks for k in (1, 2)}
    tested = inputs_of(workflow, 'test_fold01') - inputs_of(workflow, 'segmenter_fold01')
    assert len(tested) == 2
    workflow.run(plugin='Linear')
    before, times = weights(tmp_path / 'work'), trained(tmp_path)
    assert set(before) == expected
    roles = table(tmp_path, 'folds', protocol).set_index('participant')['role'].astype(str)
    assert sorted(roles) == ['1', '1', '2', '2', 'held out', 'held out']
    held_out = set(roles[roles == 'held out'].index)
    points = table(tmp_path, 'points', protocol)
    assert set(points['participant']) == held_out
    assert (len(points), set(points['augmentation'])) == (16, {'with', 'without'})
    segments = table(tmp_path, 'segmentation', protocol)
    assert len(segments) == 2 * 2 * 3 * 2
    # Rods of 140 in 100: the rater's ratio does not depend on the networks.
    assert segments['manual_cr_median'].between(1.35, 1.45).all()
    assert len(table(tmp_path, 'trainings', protocol)) == 6
    entries = sidecar(tmp_path, 'points', protocol)
    assert entries['Recipe']['schedule']['epochs'] == 1
    assert (entries['HeldOut'], entries['Images']) == (2, 6)
    # Another image of a held-out participant changes the tests and no training.
    name = min(held_out)
    write_rods(tmp_path / 'bids', name[4:], 77)
    build(examples, tmp_path, protocol).run(plugin='Linear')
    assert trained(tmp_path) == times
    assert not points.equals(table(tmp_path, 'points', protocol))
    # Trained again elsewhere, the weights are the same.
    lost = next(p for p in (tmp_path / 'work').rglob('localizer_with_fold01') if p.is_dir())
    lost.rename(tmp_path / 'gone')
    build(examples, tmp_path, protocol).run(plugin='Linear')
    assert weights(tmp_path / 'work') == before


def test_no_masks(tmp_path: Path) -> None:
    points = PointSet(('LLC', 'RLC'), [[-3.0, 0, 0], [3.0, 0, 0]])
    bare = [replace(e, mask=None, points=points) for e in make_masks(tmp_path)]
    names = build(bare, tmp_path, 'locus-coeruleus').list_node_names()
    assert not any('segmenter' in name for name in names)
