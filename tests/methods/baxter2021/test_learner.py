from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.conformal import calibrate
from tmsprep.imaging.volume import average_pyramid
from tmsprep.learning.crossval import run_test, run_training
from tmsprep.learning.examples import Example, Record
from tmsprep.learning.kept import load_checked, prepare_record
from tmsprep.learning.log import Row
from tmsprep.learning.plan import Test, Training
from tmsprep.learning.train import (
    WeightsRun,
    identity_of,
    train_network,
    train_weights,
)
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.learner import MultiResolutionLearner
from tmsprep.methods.baxter2021.masks import find_mask
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.validation import (
    doubtful,
    errors_of,
    make_localizer,
    predict_images,
)
from tmsprep.methods.baxter2021.weights import load_localizer, save_localizer
from tmsprep.options import NamedPath
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'own list',
    'test',
    'test',
    (
        Target('RA', 'R', 'b', '', 'LA'),
        Target('LA', 'L', 'a', '', 'RA'),
        Target('C', 'n/a', 'c', ''),
    ),
)
RECIPE = Recipe(
    'tiny',
    steps=4,
    batch=2,
    optimiser='adamw',
    learning_rate=1e-2,
    averaging=0.9,
    jitter=0.5,
    augmentation=Augmentation(mirror=0.5, noise=0.1),
    network={'crops': (8, 4, 4, 4, 4, 4), 'kernels': 2, 'channels': 2, 'hidden': 2},
    second_look=True,
)
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
# World position of the corner of the conformed volume.
CORNER = np.array([0.5, 0.5, -0.5])


class TinyLearner(MultiResolutionLearner):
    recipe: Any = RECIPE


def learner(recipe: Recipe = RECIPE, protocol: Protocol = PROTOCOL, **options: Any) -> TinyLearner:
    given = {'residual': ('shared',), 'members': 1, 'random_seed': 3, **options}
    made = TinyLearner(protocol, given)
    made.recipe = recipe
    return made


def make_record(folder: Path, name: str, seed: int) -> Record:
    """Write random voxels where prepared images are looked for."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((16, 16, 16), dtype=np.float32)
    fine = np.repeat(np.repeat(np.repeat(coarse, 16, 0), 16, 1), 16, 2)
    folder.mkdir(parents=True, exist_ok=True)
    levels = average_pyramid(fine, 6)
    np.save(folder / f'{name}.npy', np.concatenate([level.ravel() for level in levels]))
    np.savez(folder / f'{name}.npz', affine=AFFINE, hull=np.empty((0, 3), np.float32))
    world = CORNER + generator.uniform(90, 160, (3, 3)) * [-1, -1, 1]
    example = Example(name, Path(f'/nowhere/{name}_T1w.nii.gz'), PointSet(PROTOCOL.labels, world))
    return Record(example, str(seed), folder, facts={'affine': AFFINE.tolist()})


def with_points(record: Record, points: PointSet) -> Record:
    return replace(record, example=replace(record.example, points=points))


@pytest.fixture(scope='module')
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp('records')
    return [make_record(folder, f'sub-0{i}', i) for i in (1, 2, 3, 4)]


def train(folder: Path, records: list[Record], made: TinyLearner | None = None, **more: Any):
    made = made or learner()
    run = WeightsRun(made, records, more.pop('validation', ()), made.options['random_seed'])
    layout = Layout(folder / 'out', PROTOCOL.name)
    return train_weights(run, layout, folder / 'work', **more).path


def contents(weights: Path) -> tuple[Any, ...]:
    found = load_localizer(weights)
    tensors = [{k: v.tolist() for k, v in m.state_dict().items()} for m in found.members]
    shape = None if found.shape is None else found.shape.tolist()
    return tensors, found.card, found.calibration, found.mirror, shape


def test_files(tmp_path: Path, records: list[Record]) -> None:
    made = learner(members=2, residual=('separate',))
    weights = train(tmp_path, records, made, data='Test | data')
    assert {str(p.relative_to(tmp_path / 'out')) for p in (tmp_path / 'out').rglob('*.*')} == {
        *('localizer_own_list.safetensors', 'localizer_own_list.md'),
        *('train_protocol-ownlist_log.tsv', 'train_protocol-ownlist_log.json'),
        'figures/train_protocol-ownlist_curve.svg',
    }
    localizer = load_localizer(weights)
    assert localizer.labels == ('RA', 'LA', 'C')
    assert [m.settings.residual for m in localizer.members] == ['separate', 'separate']
    assert localizer.mirror == (1, 0, None)
    assert localizer.shape is not None
    assert localizer.shape.mean(dim=0).tolist() == pytest.approx([128.0] * 3, abs=1e-4)
    assert localizer.calibration is None
    assert (localizer.card['seeds'], localizer.card['recipe']) == ('3 4', 'tiny, 4 steps')
    card = weights.with_suffix('.md').read_text()
    for text in ('not a medical device', 'set by the owner', '"learning_rate": 0.01', '| C | 4'):
        assert text in card


def test_one_look(tmp_path: Path, records: list[Record]) -> None:
    made = learner(replace(RECIPE, second_look=False))
    localizer = load_localizer(train(tmp_path, records, made))
    assert (localizer.mirror, localizer.shape) == (None, None)


def kill_at(member: str, step: int) -> Callable[[str, int, Row], None]:
    def progress(name: str, total: int, row: Row) -> None:
        if (name, row['step']) == (member, step):
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize('when', [('member1', 1), ('member2', 3)])
def test_resume(tmp_path: Path, records: list[Record], when: tuple[str, int]) -> None:
    made, some, validation = learner(members=2), records[:3], records[3:]
    unbroken = train(tmp_path / 'one', some, made, validation=validation)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / 'two', some, made, validation=validation, progress=kill_at(*when))
    assert not (tmp_path / 'two' / 'out').exists()
    resumed = train(tmp_path / 'two', some, made, validation=validation)
    assert contents(resumed) == contents(unbroken)
    for path in (tmp_path / 'one' / 'out').rglob('*.*'):
        other = tmp_path / 'two' / path.relative_to(tmp_path / 'one')
        assert path.read_bytes() == other.read_bytes(), path.name


def test_identity(tmp_path: Path, records: list[Record]) -> None:
    training, made = Training('t', variant='shared', seed=1), learner()
    start = train(tmp_path, records, made)
    lacking = PointSet.from_mapping({'LA': (1, 2, 3)}, PROTOCOL.labels)
    fewer = replace(PROTOCOL, targets=PROTOCOL.targets[1:])
    others = [
        identity_of(made, training, records[:2], ()),
        identity_of(made, training, records[:3], records[3:]),
        identity_of(made, training, [with_points(records[0], lacking), *records[1:]], ()),
        identity_of(made, training, [replace(records[0], fingerprint='x'), *records[1:]], ()),
        identity_of(learner(replace(RECIPE, steps=5)), training, records, ()),
        identity_of(learner(replace(RECIPE, jitter=0.0)), training, records, ()),
        identity_of(learner(protocol=fewer), training, records, ()),
        identity_of(learner(weights=start), training, records, ()),
        identity_of(made, replace(training, variant='none'), records, ()),
        identity_of(made, replace(training, seed=2), records, ()),
    ]
    same = identity_of(learner(members=2), replace(training, name='u', fold=2), records, ())
    assert same == identity_of(made, training, records, ())
    assert len({same, *others}) == len(others) + 1


def test_measured(tmp_path: Path, records: list[Record]) -> None:
    folder = tmp_path / 'more'
    validation = [make_record(folder, f'sub-{i}', i) for i in range(11, 21)]
    weights = train(tmp_path, records, learner(members=2), validation=validation)
    localizer, images = load_localizer(weights), learner().load(validation)
    predictions = predict_images(localizer, images)
    errors = errors_of(predictions, images)
    summary = json.loads(localizer.card['validation_mm'])
    # What is measured is what the file holds.
    assert summary['mean'] == pytest.approx(errors.mean(), abs=1e-3)
    assert summary['n'] == 30
    assert f'| all | 30 | {errors.mean():.2f} |' in weights.with_suffix('.md').read_text()
    assert localizer.calibration is not None
    scatter = np.linalg.norm(predictions[:, 0] - predictions[:, 1], axis=-1) / 2
    names = [record.name for record in validation]
    expected = calibrate(errors, scatter, localizer.labels, names)
    assert localizer.calibration['quantile'] == pytest.approx(expected.quantile, rel=1e-4)
    highest = pytest.approx(scatter.mean(axis=1).max(), rel=1e-4)
    assert localizer.calibration['limits'] == {'dispersion_mm': highest}


def test_doubtful() -> None:
    nan = np.nan
    errors = np.array([[1.0, 30.0, 2.0], [13.0, 11.0, 40.0], [nan, nan, 12.5], [nan, nan, nan]])
    names = ['one bad point', 'all', 'one known', 'none']
    assert doubtful(errors, names) == {'all': 13.0, 'one known': 12.5}


def test_fine_tuning(tmp_path: Path, records: list[Record]) -> None:
    weights = train(tmp_path / 'one', records, learner(members=2))
    still = replace(RECIPE, steps=1, learning_rate=1e-30, averaging=0.0)
    made = learner(still, members=3, weights=weights)
    tuned = load_localizer(train(tmp_path / 'two', records, made))
    start = load_localizer(weights)
    for i, member in enumerate(tuned.members):
        expected = start.members[i % 2].state_dict()
        assert all(torch.equal(expected[k], v) for k, v in member.state_dict().items())
    assert tuned.card['started_from'].startswith('localizer_own_list, licence: set by')


def test_unfit_start(tmp_path: Path, records: list[Record]) -> None:
    weights = train(tmp_path, records)
    with pytest.raises(ValueError, match='--weights have shared residual layers: give --residual'):
        train(tmp_path, records, learner(weights=weights, residual=('none',)))
    other = save_localizer(
        tmp_path / 'o.st', replace(load_localizer(weights), labels=tuple('XYZ'))
    )
    with pytest.raises(ValueError, match='--weights are for the targets X, Y, Z, but protocol'):
        train(tmp_path, records, learner(weights=other))


def test_missing_target(tmp_path: Path, records: list[Record]) -> None:
    lacking = PointSet.from_mapping({'LA': (1, 2, 3), 'C': (4, 5, 6)}, PROTOCOL.labels)
    some = [with_points(record, lacking) for record in records]
    with pytest.raises(ValueError, match='training set has a point for RA: annotate it'):
        train(tmp_path, some)


def fold(folder: Path, records: list[Record], tested: list[Record], **more: Any) -> Any:
    """Train on some records, and predict in others."""
    folder.mkdir(exist_ok=True)
    made = learner(**more)
    training = Training('t', variant='shared', seed=11)
    path, summary = run_training(made, training, records, [], folder)
    rows = run_test(made, Test('test', ('t',), ()), [path], tested)['predictions']
    xyz = [[row[axis] for axis in 'xyz'] for row in rows]
    error = json.loads(summary.read_text())['error']
    return (path, error), np.array(xyz).reshape(-1, 3, 3), [row['status'] for row in rows]


def test_fold_by_hand(tmp_path: Path, records: list[Record]) -> None:
    (path, _), found, _ = fold(tmp_path, records[:3], records[3:])
    assert not (tmp_path / 'checkpoint.pt').exists()
    made = learner()
    network = made.network(Training('t', variant='shared'))
    network.load_state_dict(load_checked(path)['network'])
    images = made.load(records)
    localizer = make_localizer([network.eval()], images[:3], RECIPE, PROTOCOL)
    expected = CORNER + predict_images(localizer, images[3:])[0, 0] * [-1, -1, 1]
    np.testing.assert_allclose(found[0], expected)


def test_fold_points_unused(tmp_path: Path, records: list[Record]) -> None:
    moved = with_points(records[3], PointSet(PROTOCOL.labels, np.full((3, 3), 1e6)))
    _, found, _ = fold(tmp_path / 'a', records[:3], records[3:])
    _, again, _ = fold(tmp_path / 'b', records[:3], [moved])
    np.testing.assert_array_equal(found, again)
    # A change in the training set does change the prediction.
    moved = with_points(records[0], PointSet(PROTOCOL.labels, np.full((3, 3), -90.0)))
    _, other, _ = fold(tmp_path / 'c', [moved, *records[1:3]], records[3:])
    assert not np.array_equal(found, other)


def test_fold_unknown_target(tmp_path: Path, records: list[Record]) -> None:
    known = PointSet.from_mapping({'LA': (-99, -90, 99), 'C': (-80, -99, 99)}, PROTOCOL.labels)
    _, found, statuses = fold(tmp_path, [with_points(r, known) for r in records[:2]], records[3:])
    assert np.isfinite(found[0]).all(axis=1).tolist() == [False, True, True]
    assert statuses[0] == 'failed'


def test_fold_diverged(tmp_path: Path, records: list[Record]) -> None:
    wild = replace(RECIPE, optimiser='sgd', learning_rate=1e30)
    (_, error), found, statuses = fold(tmp_path, records[:3], records[3:], recipe=wild)
    assert 'diverged' in error
    assert np.isnan(found).all()
    assert set(statuses) == {'failed'}


def test_fold_broken(tmp_path: Path, records: list[Record]) -> None:
    broken = replace(records[0], error='truncated')
    _, found, statuses = fold(tmp_path, [broken, *records[1:3]], [broken, records[3]])
    assert statuses[:3] == ['failed'] * 3
    assert np.isfinite(found[1]).all()
    with pytest.raises(ValueError, match='t: no image is left to train on'):
        fold(tmp_path, [broken], [])


def test_same_participant(records: list[Record]) -> None:
    with pytest.raises(ValueError, match='sub-02: in the training set and in another set'):
        train_network(learner(), Training('t'), records[:2], records[1:])


def test_outside_volume() -> None:
    points = PointSet(('RA', 'LA', 'C'), [[-1.0, -1, 1], [-1, -1, 300], [np.nan] * 3])
    record = Record(Example('sub-01', Path(), points), '', Path(), '', {'affine': AFFINE.tolist()})
    rows = learner().point_rows(Training('t'), record, points)
    assert [row['status'] for row in rows] == ['ok', 'outside_volume', 'failed']


def write_image(path: Path, seed: int) -> Path:
    data = gaussian_filter(np.random.default_rng(seed).random((50, 60, 60)), 2)
    data = (1000 * (data - data.min())).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)
    return path


def test_prepare(tmp_path: Path) -> None:
    points = PointSet(('RA',), np.array([[100.0, 100, 100]]))
    good = Example('sub-01', write_image(tmp_path / 'sub-01_T1w.nii.gz', 1), points)
    record, failure = prepare_record(learner(), good, tmp_path / 'a')
    assert (record.error, failure) == ('', None)
    (image,) = learner().load([record])
    # The affine of the facts leads from the volume back to the point.
    inside = np.array(record.facts['affine'])
    assert np.abs(np.linalg.det(inside)) == pytest.approx(1)
    assert image.points.isfinite().all()
    bad = replace(good, image=tmp_path / 'sub-02_T1w.nii.gz')
    bad.image.write_bytes(b'no image')
    record, failure = prepare_record(learner(), bad, tmp_path / 'b')
    assert failure is not None
    assert str(bad.image) in record.error == failure['message']


def test_find_mask(tmp_path: Path) -> None:
    path = tmp_path / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image = ImageRef.from_path(tmp_path, path)
    one, two = tmp_path / 'one', tmp_path / 'two'
    folders = [NamedPath(one), NamedPath(two)]
    home = two / 'sub-01' / 'anat'
    home.mkdir(parents=True)
    one.mkdir()
    assert find_mask(image, folders) is None
    (home / 'sub-01_ses-A_desc-brain_mask.nii.gz').touch()
    (home / 'sub-012_dseg.nii.gz').touch()
    assert find_mask(image, folders) is None
    for name in ('sub-01_desc-x_dseg.nii.gz', 'sub-01_dseg.nii.gz', 'sub-01_desc-a_dseg.nii.gz'):
        (home / name).touch()
    assert find_mask(image, folders) == home / 'sub-01_desc-a_dseg.nii.gz'
    (home / 'sub-01_desc-brain_mask.nii.gz').touch()
    assert find_mask(image, folders) == home / 'sub-01_desc-brain_mask.nii.gz'
    (one / 'sub-01_dseg.nii.gz').touch()
    assert find_mask(image, folders) == one / 'sub-01_dseg.nii.gz'


@pytest.mark.slow
def test_learns_phantom(tmp_path: Path) -> None:
    from tmsprep.phantoms import make_head

    head = make_head(1, voxel_size=(4.0, 4.0, 4.0))
    image = tmp_path / 'sub-01_T1w.nii.gz'
    nib.save(head.image, image)
    targets = [Target(name, name[0], '', '') for name in ('LHESCHL', 'RLLIMBMC', 'LOFC')]
    protocol = Protocol('three', 'three of its targets', '', tuple(targets))
    made = learner(
        Recipe(
            'by heart',
            steps=200,
            batch=2,
            optimiser='adamw',
            learning_rate=1e-2,
            averaging=0.9,
            jitter=0.3,
            forcing=0.5,
            augmentation=Augmentation(rotation=0, translation=0),
            network={
                'crops': (8, 8, 8, 8, 8, 8),
                'kernels': 4,
                'channels': 2,
                'hidden': 8,
                'residual_layers': 1,
                'residual_width': 16,
                'readout': 3,
            },
        ),
        protocol,
    )
    example = Example('sub-01', image, head.points.reindex(protocol.labels))
    record, _ = prepare_record(made, example, tmp_path / 'cache')
    trained = train_network(made, made.trainings([record], 1)[0], [record], [])
    found = made.predict(made.assemble({'member1': trained.network}, [record]), record)
    # Half a voxel of the image: processors differ in the last digits, and trainings more.
    assert found.distance(example.points).max() < 2.0
