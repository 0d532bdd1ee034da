from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from coeruleus_data import STEM, rods, write_bids, write_image, write_mask

from tmsprep.config import RunConfig
from tmsprep.methods.duennwald2021.volumes import LabelledVolume

TRAININGS = {
    f'{network}_fold0{fold}'
    for network in ('localizer_with', 'localizer_without', 'segmenter')
    for fold in (1, 2)
}


def make_people(folder: Path, n: int = 6) -> list[LabelledVolume]:
    bids, people = write_bids(folder / 'bids'), []
    for seed in range(1, n + 1):
        image = write_image(bids, f'{seed:02d}', seed)
        mask = write_mask(folder / 'rater', f'{seed:02d}', rods(seed))
        people.append(LabelledVolume(image.stem, image.path, mask=mask))
    return people


def config(folder: Path, **settings: object) -> RunConfig:
    given = {
        'protocol': 'locus-coeruleus',
        'recipe': 'quick',
        'epochs': 1,
        'folds': 2,
        'held_out': 2,
        'repetitions': 1,
        'augmentation': ('with', 'without'),
        'segmentation': ('npp', 'pp', 'lpp'),
        'annotations': folder / 'rater',
    }
    return RunConfig(
        bids_dir=folder / 'bids',
        out_dir=folder / 'out',
        work_dir=folder / 'work',
        analysis_level='crossval',
        **{**given, **settings},
    )


def build(folder: Path, people: list[LabelledVolume], **settings: object):
    from tmsprep.workflows.coeruleus_crossval import init_coeruleus_crossval_wf

    return init_coeruleus_crossval_wf(
        config=config(folder, **settings), people=people, data='rods (simulated)'
    )


def weights(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of writing of every trained network."""
    return {
        path.parent.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (folder / 'work').rglob('network.safetensors')
    }


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / 'out' / f'crossval_{name}.tsv', sep='\t', na_values='n/a')


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabelledVolume]]:
    folder = tmp_path_factory.mktemp('run')
    people = make_people(folder)
    build(folder, people).run(plugin='Linear')
    return folder, people


def test_the_graph(tmp_path: Path) -> None:
    people = make_people(tmp_path)
    workflow = build(tmp_path, people)
    names = set(workflow.list_node_names())
    assert names >= TRAININGS | {'evaluate_fold01', 'evaluate_fold02', 'gather', 'held_out'}
    held_out = [a.name for a, b in workflow._graph.edges if b.name == 'held_out']
    assert len(held_out) == 2
    into = {a.name for a, b in workflow._graph.edges if b.name in TRAININGS}
    # A training is given the parts of the folds and nothing of those held out.
    assert into == {'part01', 'part02', 'training_fold01', 'training_fold02'}
    node = workflow.get_node('localizer_without_fold01')
    assert node.n_procs == node.inputs.threads == 1
    assert node.inputs.seed == workflow.get_node('localizer_with_fold01').inputs.seed
    points_only = [LabelledVolume(p.name, p.image) for p in people]
    assert not any('segmenter' in n for n in build(tmp_path, points_only).list_node_names())


def test_the_tables(finished: tuple[Path, list[LabelledVolume]]) -> None:
    folder, _ = finished
    roles = table(folder, 'folds').set_index('participant')['role'].astype(str)
    assert sorted(roles) == ['1', '1', '2', '2', 'held out', 'held out']
    held_out = set(roles[roles == 'held out'].index)
    points = table(folder, 'points')
    assert len(points) == 2 * 2 * 2 * 2
    assert set(points['participant']) == held_out
    assert set(points['augmentation']) == {'with', 'without'}
    assert set(points['fold']) == {1, 2}
    segments = table(folder, 'segmentation')
    assert len(segments) == 2 * 2 * 3 * 2
    assert list(segments.columns)[:6] == [
        *('image', 'participant', 'fold', 'method', 'hemisphere', 'status')
    ]
    # Rods of 140 in 100: the rater's ratio does not depend on what was learnt.
    assert segments['manual_cr_median'].between(1.35, 1.45).all()
    assert len(table(folder, 'trainings')) == 6
    sidecar = json.loads((folder / 'out' / 'crossval_points.json').read_text())
    assert sidecar['Data'] == 'rods (simulated)'
    assert 'held out' in sidecar['Generalisation']
    assert sidecar['Recipe']['schedule']['epochs'] == 1
    assert (sidecar['HeldOut'], sidecar['Folds'], sidecar['Images']) == (2, 2, 6)


def test_nothing_of_a_held_out_person_enters_a_training(
    finished: tuple[Path, list[LabelledVolume]],
) -> None:
    folder, people = finished
    before = weights(folder)
    assert set(before) == TRAININGS
    points = table(folder, 'points')
    who = points['participant'][0]
    write_image(folder / 'bids', who[4:], 77)
    build(folder, people).run(plugin='Linear')
    # Not even trained again; and trained anew elsewhere the bytes are the same.
    assert weights(folder) == before
    assert not points.equals(table(folder, 'points'))
    for path in (folder / 'work').rglob('localizer_with_fold01'):
        path.rename(folder / 'gone')
    build(folder, people).run(plugin='Linear')
    again = weights(folder)['localizer_with_fold01']
    assert again[0] == before['localizer_with_fold01'][0]
    assert again[1] != before['localizer_with_fold01'][1]


def test_a_changed_training_image_is_trained_on_and_a_broken_one_is_left_out(
    finished: tuple[Path, list[LabelledVolume]],
) -> None:
    folder, people = finished
    before = weights(folder)
    roles = table(folder, 'folds').set_index('participant')['role'].astype(str)
    who = roles[roles == '1'].index[0]
    path = folder / 'bids' / who / 'anat' / f'{who}_{STEM}_T1w.nii.gz'
    path.write_bytes(b'no image')
    build(folder, people, segmentation=('lpp',)).run(plugin='Linear')
    after = weights(folder)
    assert all(before[name][0] != after[name][0] for name in TRAININGS if 'fold02' in name)
    sidecar = json.loads((folder / 'out' / 'crossval_points.json').read_text())
    assert list(sidecar['ImagesLeftOut']) == [f'{who}_{STEM}']
    assert set(table(folder, 'segmentation')['method']) == {'lpp'}
    # Without a held-out person those who chose the epoch are tested, which is said.
    build(folder, people, held_out=0, augmentation=('without',)).run(plugin='Linear')
    points = table(folder, 'points')
    assert set(points['participant']) == {f'sub-0{i}' for i in range(1, 7)}
    failed = points[points['participant'] == who]
    assert set(failed['status']) == {'failed'}
    sidecar = json.loads((folder / 'out' / 'crossval_points.json').read_text())
    assert sidecar['Generalisation'].startswith('Nobody was held out')


def test_a_killed_node_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    from nipype import Node

    from tmsprep.interfaces.coeruleus_crossval import TrainCoeruleus, coeruleus_recipe_as_json
    from tmsprep.methods.duennwald2021.crossval import FoldTraining, train_network
    from tmsprep.methods.duennwald2021.records import recipe_from_json, record_of

    recipe = coeruleus_recipe_as_json('quick', 2)
    records = [record_of(p, '', tmp_path / 'cache', 0.75) for p in make_people(tmp_path, 3)]

    def run(folder: str) -> Path:
        interface = TrainCoeruleus(
            training=[r.as_json() for r in records[:2]],
            validation=[records[2].as_json()],
            network='localizer',
            augmentation='with',
            fold=1,
            seed=1,
            recipe=recipe,
        )
        node = Node(interface, name='train', base_dir=str(tmp_path / folder))
        return Path(node.run().outputs.weights)

    def stopped_after_one_epoch(seed: int, checkpoint: Path) -> None:
        def stop(row: dict) -> None:
            raise KeyboardInterrupt

        what = FoldTraining('localizer', True, seed)
        with pytest.raises(KeyboardInterrupt):
            train_network(
                *(records[:2], records[2:], what, recipe_from_json(recipe)),
                checkpoint=checkpoint,
                report=stop,
            )

    unbroken = run('one').read_bytes()
    # What a kill leaves: the file that says "unfinished", no result, and a checkpoint.
    folder = tmp_path / 'one' / 'train'
    for seed in (1, 2):
        (running,) = folder.glob('_0x*.json')
        if not running.stem.endswith('_unfinished'):
            running.rename(running.with_name(running.stem + '_unfinished.json'))
        (folder / 'result_train.pklz').unlink()
        (folder / 'network.safetensors').unlink()
        stopped_after_one_epoch(seed, folder / 'checkpoint.pt')
        if seed == 1:
            assert run('one').read_bytes() == unbroken
            assert not (folder / 'checkpoint.pt').exists()
            continue
        # It was read: another training's is refused.
        with pytest.raises(Exception, match='belongs to another training'):
            run('one')
