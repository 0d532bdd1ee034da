from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from tmsprep.config import RunConfig
from tmsprep.methods.baxter2021.cohort import Annotated
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

LABELS = load_protocol('tms').labels
JOBS = {f'shared_rep{r}_fold0{f}' for r in (1, 2) for f in (1, 2, 3)}


def write_image(path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    data = gaussian_filter(generator.random((50, 60, 60)), 2).astype(np.float32)
    data = 1000 * (data - data.min())
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)


@pytest.fixture(scope='module')
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Annotated]:
    bids = tmp_path_factory.mktemp('data') / 'bids'
    found = []
    for i in (1, 2, 3):
        path = bids / f'sub-0{i}' / 'anat' / f'sub-0{i}_T1w.nii.gz'
        write_image(path, i)
        points = np.random.default_rng(i).uniform(60, 140, (11, 3))
        points[0] = np.nan if i == 1 else points[0]
        found.append(Annotated(f'sub-0{i}', path, PointSet(LABELS, points)))
    return found


def config(people: list[Annotated], folder: Path, **settings: object) -> RunConfig:
    return RunConfig(
        bids_dir=people[0].image.parents[2],
        out_dir=folder / 'out',
        work_dir=folder / 'work',
        analysis_level='crossval',
        annotations=folder,
        **{'recipe': 'quick', 'steps': 1, 'repetitions': 2, 'random_seed': 5, **settings},
    )


def build(people: list[Annotated], settings: RunConfig):
    from tmsprep.workflows.crossval import init_crossval_wf

    return init_crossval_wf(config=settings, people=people)


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / 'out' / f'crossval_{name}.tsv', sep='\t', na_values='n/a')


def written(folder: Path) -> dict[str, int]:
    """Time of writing of every finished training."""
    paths = (folder / 'work').rglob('predictions.json')
    return {path.parent.name: path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope='module')
def finished(people: list[Annotated], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('run')
    build(people, config(people, folder)).run(plugin='Linear')
    return folder


def test_the_graph(people: list[Annotated], tmp_path: Path) -> None:
    settings = config(people, tmp_path, residual=('none', 'shared'), repetitions=1, folds=2)
    workflow = build(people, settings)
    trainings = {'none_rep1_fold01', 'none_rep1_fold02', 'shared_rep1_fold01'}
    trainings |= {'shared_rep1_fold02'}
    prepare = {f'prepare_sub_0{i}' for i in (1, 2, 3)}
    joining = {'records', 'cohort', 'predictions', 'gather'}
    assert set(workflow.list_node_names()) == trainings | prepare | joining
    edges = {(a.name, b.name) for a, b in workflow._graph.edges}
    expected = {(p, 'records') for p in prepare} | {('cohort', t) for t in trainings}
    expected |= {(t, 'predictions') for t in trainings} | {('records', 'cohort')}
    assert edges == expected | {('cohort', 'gather'), ('predictions', 'gather')}
    node = workflow.get_node('shared_rep1_fold01')
    assert json.loads(node.inputs.recipe)['steps'] == 1
    assert node.n_procs == node.inputs.threads == 1
    left_out = [workflow.get_node(t).inputs.left_out for t in sorted(trainings)[:2]]
    assert sorted(left_out[0] + left_out[1]) == ['sub-01', 'sub-02', 'sub-03']


def test_a_run_writes_every_prediction(finished: Path) -> None:
    assert set(written(finished)) == JOBS
    predictions = table(finished, 'predictions')
    assert len(predictions) == 3 * 2 * 11
    assert set(predictions['status']) == {'ok', 'no_reference'}
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
    np.testing.assert_allclose(
        ensemble.loc[list(zip(one['image'], one['label'], strict=True)), 'dispersion_mm'],
        apart / 2,
        atol=1e-3,
    )
    assert len(table(finished, 'summary')) == 3 * (11 + 2)
    sidecar = json.loads((finished / 'out' / 'crossval_summary.json').read_text())
    assert (sidecar['Recipe']['name'], sidecar['Recipe']['steps']) == ('quick', 1)
    assert sidecar['Folds'] == 'leave one participant out'


def test_only_what_is_missing_runs_again(people: list[Annotated], finished: Path) -> None:
    before, content = written(finished), table(finished, 'predictions')
    lost = next((finished / 'work').rglob('shared_rep2_fold03'))
    for path in lost.iterdir():
        path.unlink() if path.is_file() else None
    (finished / 'out' / 'crossval_summary.tsv').unlink()
    build(people, config(people, finished)).run(plugin='Linear')
    after = written(finished)
    assert {name for name in JOBS if after[name] != before[name]} == {'shared_rep2_fold03'}
    pd.testing.assert_frame_equal(table(finished, 'predictions'), content)
    assert len(table(finished, 'summary')) == 39


def test_more_repetitions_keep_the_first(people: list[Annotated], finished: Path) -> None:
    before = written(finished)
    content = table(finished, 'predictions')
    build(people, config(people, finished, repetitions=3)).run(plugin='Linear')
    after = written(finished)
    assert {name for name in after if name not in before} == {
        f'shared_rep3_fold0{i}' for i in (1, 2, 3)
    }
    assert all(after[name] == before[name] for name in before)
    more = table(finished, 'predictions')
    pd.testing.assert_frame_equal(more[more['repetition'] < 3].reset_index(drop=True), content)


def test_a_bad_image_is_named_and_the_others_go_on(
    people: list[Annotated], tmp_path: Path
) -> None:
    from tmsprep.failures import read_records

    bids = tmp_path / 'bids'
    moved = []
    for person in people:
        path = bids / person.image.relative_to(people[0].image.parents[2])
        path.parent.mkdir(parents=True)
        os.link(person.image, path)
        moved.append(Annotated(person.name, path, person.points))
    moved[1].image.unlink()
    moved[1].image.write_bytes(b'no image')
    build(moved, config(moved, tmp_path, repetitions=1)).run(plugin='Linear')
    predictions = table(tmp_path, 'predictions')
    lost = predictions[predictions['participant_id'] == 'sub-02']
    assert set(lost['status']) == {'failed'}
    assert lost['error_mm'].isna().all()
    # Without sub-02 nobody is left who could teach sub-03's network the target sub-01 lacks.
    failed = predictions[(predictions['status'] == 'failed') & ~predictions.index.isin(lost.index)]
    assert list(zip(failed['participant_id'], failed['label'], strict=True)) == [
        ('sub-03', LABELS[0])
    ]
    (record,) = read_records(tmp_path / 'out', '02')
    assert record['node'] == 'prepare'
    assert 'sub-02_T1w.nii.gz' in record['message']
    sidecar = json.loads((tmp_path / 'out' / 'crossval_predictions.json').read_text())
    assert list(sidecar['ImagesLeftOut']) == ['sub-02']


def test_a_killed_node_goes_on_from_its_checkpoint(
    people: list[Annotated], finished: Path, tmp_path: Path
) -> None:
    from nipype import Node

    from tmsprep.interfaces.crossval import TrainFold, recipe_as_json
    from tmsprep.learning.folds import Job
    from tmsprep.methods.baxter2021.crossval import recipe_from_json, train_fold
    from tmsprep.methods.baxter2021.prepared import read_cohort

    cohort = next((finished / 'work').rglob('cohort.json'))
    recipe = recipe_as_json('quick', 1)

    def node(seed: int, folder: str) -> Node:
        interface = TrainFold(
            cohort=str(cohort),
            cohort_sha256='1',
            variant='none',
            repetition=1,
            fold=1,
            left_out=['sub-01'],
            seed=seed,
            recipe=recipe,
            protocol='tms',
            targets='',
        )
        return Node(interface, name='train', base_dir=str(tmp_path / folder))

    def images(result) -> dict:
        return json.loads(Path(result.outputs.predictions).read_text())['images']

    one, two = images(node(1, 'one').run()), images(node(2, 'two').run())
    assert one != two
    # What a kill leaves: the file that says "unfinished", no result, and a checkpoint. That it is
    # of a finished training with the other seed shows that it is taken up.
    folder = tmp_path / 'one' / 'train'
    (running,) = folder.glob('_0x*.json')
    running.rename(running.with_name(running.stem + '_unfinished.json'))
    (folder / 'result_train.pklz').unlink()
    others = [p.load() for p in read_cohort(cohort)[1:]]
    train_fold(
        others,
        Job('none', 1, 1, ('sub-01',), 2),
        recipe_from_json(recipe),
        load_protocol('tms'),
        checkpoint=folder / 'checkpoint.pt',
    )
    assert images(node(1, 'one').run()) == two
    assert not (folder / 'checkpoint.pt').exists()
