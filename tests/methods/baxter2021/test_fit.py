from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tmsprep.formats import read_points
from tmsprep.imaging.volume import average_pyramid
from tmsprep.learning.log import read_log
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.cohort import Annotated, Person
from tmsprep.methods.baxter2021.fit import fit_ensemble
from tmsprep.methods.baxter2021.material import load_material
from tmsprep.methods.baxter2021.members import Plan, checkpoint_key
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.validation import doubtful, errors_of, predict_people
from tmsprep.methods.baxter2021.weights import load_localizer
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'own list',
    'test',
    'test',
    (
        Target('LA', 'L', 'a', '', 'RA'),
        Target('RA', 'R', 'b', '', 'LA'),
        Target('C', 'n/a', 'c', ''),
    ),
)
TINY = {'crops': (8, 4, 4), 'kernels': 2, 'channels': 2, 'hidden': 2, 'residual_layers': 1}
RECIPE = Recipe(
    'tiny',
    steps=6,
    batch=2,
    optimiser='adamw',
    learning_rate=1e-2,
    averaging=0.9,
    jitter=0.5,
    augmentation=Augmentation(mirror=0.5, noise=0.1),
    network=TINY,
    second_look=True,
)


def someone(number: int) -> Person:
    """Person of random voxels; levels are coarser than they claim to be."""
    generator = np.random.default_rng(number)
    volume = generator.random((32, 32, 32), dtype=np.float32)
    pyramid = tuple(torch.from_numpy(v) for v in average_pyramid(volume, 3))
    points = torch.from_numpy(generator.uniform(90, 160, (3, 3)).astype(np.float32))
    return Person(f'sub-{number:02d}', pyramid, points)


PEOPLE = [someone(number) for number in range(1, 4)]
OTHERS = [someone(number) for number in range(11, 21)]


def fit(folder: Path, people: list[Person] = PEOPLE, recipe: Recipe = RECIPE, **settings) -> Path:
    of_plan = {'validation': (), 'fingerprints': {}, 'checkpoints': folder / 'work'}
    of_plan = {name: settings.pop(name, default) for name, default in of_plan.items()}
    network = recipe.network_settings(len(PROTOCOL.labels), settings.pop('residual', 'shared'))
    plan = Plan(people, protocol=PROTOCOL, recipe=recipe, settings=network, **of_plan)
    return fit_ensemble(plan, folder / 'out', **{'seeds': (1,), **settings})


def test_everything_is_written(tmp_path: Path) -> None:
    weights = fit(tmp_path, seeds=(3, 4), residual='separate', facts={'data': 'Test | data'})
    assert {str(p.relative_to(tmp_path / 'out')) for p in (tmp_path / 'out').rglob('*.*')} == {
        *('localizer_own_list.safetensors', 'localizer_own_list.md', 'train_log.tsv'),
        'figures/learning_curve.svg',
    }
    localizer = load_localizer(weights)
    assert localizer.labels == ('LA', 'RA', 'C')
    assert [m.settings.residual for m in localizer.members] == ['separate', 'separate']
    assert localizer.mirror == (1, 0, None)
    assert localizer.shape.mean(dim=0).tolist() == pytest.approx([128.0] * 3, abs=1e-4)
    assert localizer.calibration is None
    assert localizer.card['seeds'] == '3 4'
    assert localizer.card['recipe'] == 'tiny, 6 steps'
    assert localizer.card['people'] == (
        '3 participants, 3 images; kept aside: 0 participants, 0 images'
    )
    log = read_log(tmp_path / 'out' / 'train_log.tsv')
    assert [(row.member, row.step) for row in log] == [(m, s) for m in (1, 2) for s in range(1, 7)]
    card = weights.with_suffix('.md').read_text()
    for text in ('not a medical device', 'set by whoever owns', '"learning_rate": 0.01', '| C |'):
        assert text in card


def test_a_recipe_of_one_look_makes_weights_of_one_look(tmp_path: Path) -> None:
    localizer = load_localizer(fit(tmp_path, recipe=replace(RECIPE, second_look=False)))
    assert localizer.mirror is None
    assert localizer.shape is None


def contents(weights: Path) -> tuple:
    """Return all that a weights file holds; safetensors orders its header by chance."""
    localizer = load_localizer(weights)
    values = [m.state_dict() for m in localizer.members]
    tensors = [{k: v.numpy().tobytes() for k, v in value.items()} for value in values]
    return (
        tensors,
        localizer.card,
        localizer.calibration,
        localizer.mirror,
        localizer.shape.tolist(),
    )


class Killed(Exception):
    pass


def kill_at(member: int, step: int) -> Callable:
    def report(now: int, done: int, loss: float, measured: float | None) -> None:
        if (now, done) == (member, step):
            raise Killed

    return report


@pytest.mark.parametrize('when', [(1, 1), (1, 4), (2, 5)])
def test_a_resumed_run_writes_what_an_unbroken_one_does(
    tmp_path: Path, when: tuple[int, int]
) -> None:
    settings = {'seeds': (1, 2), 'validation': OTHERS[:2]}
    unbroken = fit(tmp_path / 'one', **settings)
    with pytest.raises(Killed):
        fit(tmp_path / 'two', **settings, report=kill_at(*when))
    assert not (tmp_path / 'two' / 'out').exists()
    steps = []
    resumed = fit(tmp_path / 'two', **settings, report=lambda m, s, *_: steps.append((m, s)))
    # The checkpoint of the step before the kill is the last one.
    assert steps[0] == when
    assert contents(resumed) == contents(unbroken)
    for name in ('train_log.tsv', 'localizer_own_list.md', 'figures/learning_curve.svg'):
        one, other = ((p.parent / name).read_bytes() for p in (unbroken, resumed))
        assert one == other, name


def test_no_foreign_checkpoint_is_taken_up(tmp_path: Path) -> None:
    settings = RECIPE.network_settings(3)
    marks = {person.name: 'a' for person in PEOPLE}
    plan = Plan(PEOPLE, [], PROTOCOL, RECIPE, settings, tmp_path, marks)
    key = checkpoint_key(plan, 1, None)
    lacking = replace(PEOPLE[0], points=PEOPLE[0].points.clone())
    lacking.points[1] = torch.nan
    fewer = replace(PROTOCOL, targets=PROTOCOL.targets[:2])
    start = load_localizer(fit(tmp_path)).members[0]
    others = [
        replace(plan, training=PEOPLE[:2]),
        replace(plan, training=[lacking, *PEOPLE[1:]]),
        replace(plan, training=PEOPLE[:2], validation=PEOPLE[2:]),
        replace(plan, fingerprints={**marks, 'sub-02': 'b'}),
        replace(plan, recipe=replace(RECIPE, steps=7)),
        replace(plan, recipe=replace(RECIPE, augmentation=Augmentation())),
        replace(plan, settings=RECIPE.network_settings(3, 'none')),
        replace(plan, protocol=fewer),
    ]
    keys = [checkpoint_key(other, 1, None) for other in others]
    keys += [key, checkpoint_key(plan, 2, None), checkpoint_key(plan, 1, start)]
    assert len(set(keys)) == len(keys)
    elsewhere = replace(plan, device='cuda', half_precision=True, checkpoints=tmp_path / 'b')
    assert checkpoint_key(elsewhere, 1, None) == key


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    fit(tmp_path)
    (checkpoint,) = (tmp_path / 'work').glob('*.pt')
    checkpoint.write_bytes(b'no checkpoint')
    with pytest.raises(ValueError, match=rf'{checkpoint.name}: damaged; delete it'):
        fit(tmp_path)


def test_a_missing_point_is_not_in_the_loss(tmp_path: Path) -> None:
    # The same set of points, once with n/a, once without the row.
    head = 'label\themisphere\tx\ty\tz\n'
    (tmp_path / 'a_targets.tsv').write_text(f'{head}LA\tL\t1\t2\t3\nRA\tR\tn/a\tn/a\tn/a\n')
    (tmp_path / 'b_targets.tsv').write_text(f'{head}LA\tL\t1\t2\t3\n')
    results = []
    for name in ('a', 'b'):
        points = read_points(tmp_path / f'{name}_targets.tsv').reindex(PROTOCOL.labels)
        known = torch.tensor(points.coordinates).float() + 120
        people = [replace(PEOPLE[0], points=known), *PEOPLE[1:]]
        results.append(contents(fit(tmp_path / name, people)))
        assert b'NaN' not in (tmp_path / name / 'out' / 'train_log.tsv').read_bytes()
    assert results[0] == results[1]
    # Somebody without any point of a target teaches nothing about it.
    recipe = replace(RECIPE, batch=3, augmentation=Augmentation(), jitter=0.0)
    blank = replace(someone(9), points=torch.full((3, 3), torch.nan))
    network = load_localizer(fit(tmp_path / 'c', [*PEOPLE, blank], recipe)).members[0]
    assert all(values.isfinite().all() for values in network.parameters())


def test_errors_and_radius_of_those_kept_aside(tmp_path: Path) -> None:
    weights = fit(tmp_path, validation=OTHERS, seeds=(1, 2))
    localizer = load_localizer(weights)
    predictions = predict_people(localizer, OTHERS)
    errors = errors_of(predictions, OTHERS)
    assert predictions.shape == (10, 2, 3, 3)
    summary = json.loads(localizer.card['validation_mm'])
    # What is measured is what the file holds.
    assert summary['mean'] == pytest.approx(errors.mean(), abs=1e-3)
    assert summary['n'] == 30
    assert f'| all | 30 | {errors.mean():.2f} |' in weights.with_suffix('.md').read_text()
    # Of ten people the tenth smallest score: ceil(11 * 0.9) = 10.
    scatter = np.linalg.norm(predictions[:, 0] - predictions[:, 1], axis=-1) / 2
    highest = (errors / (scatter + 1)).max(axis=0)
    assert localizer.calibration['quantiles'] == pytest.approx(highest.tolist(), rel=1e-5)


def test_errors_by_hand() -> None:
    truth = replace(PEOPLE[0], points=torch.tensor([[0.0, 0, 0], [1, 1, 1], [np.nan] * 3]))
    members = np.array([[[3.0, 4, 0], [1, 1, 1], [0, 0, 0]], [[3, 4, 0], [1, 1, 3], [0, 0, 0]]])
    errors = errors_of(members[None], [truth])
    np.testing.assert_allclose(errors, [[5.0, 1.0, np.nan]])


def test_points_of_another_image_are_doubtful() -> None:
    nan = np.nan
    errors = np.array([[1.0, 30.0, 2.0], [13.0, 11.0, 40.0], [nan, nan, 12.5], [nan, nan, nan]])
    assert doubtful(errors, ['one bad point', 'all', 'one known', 'none']) == {
        'all': 13.0,
        'one known': 12.5,
    }


def test_fine_tuning_begins_where_the_weights_are(tmp_path: Path) -> None:
    start = load_localizer(fit(tmp_path / 'one', seeds=(1, 2)))
    still = replace(RECIPE, steps=1, learning_rate=1e-30, averaging=0.0)
    tuned = load_localizer(fit(tmp_path / 'two', recipe=still, seeds=(5, 6, 7), start=start))
    for i, member in enumerate(tuned.members):
        theirs = start.members[i % 2].state_dict()
        assert all(torch.equal(theirs[k], v) for k, v in member.state_dict().items())


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    start = load_localizer(fit(tmp_path))
    with pytest.raises(ValueError, match='--weights have shared residual layers: give --residual'):
        fit(tmp_path, start=start, residual='none')
    with pytest.raises(ValueError, match='--weights are for the targets X, Y, Z, but protocol'):
        fit(tmp_path, start=replace(start, labels=('X', 'Y', 'Z')))


def test_a_target_that_nobody_has_is_refused(tmp_path: Path) -> None:
    people = [replace(p, points=p.points.clone()) for p in PEOPLE]
    for person in people:
        person.points[1] = torch.nan
    with pytest.raises(ValueError, match='nobody to train on has a point for RA: annotate it'):
        fit(tmp_path, people)


def test_a_training_that_diverged_makes_no_weights(tmp_path: Path) -> None:
    wild = replace(RECIPE, optimiser='sgd', learning_rate=1e30, averaging=0.0)
    with pytest.raises(ValueError, match='training of member 1 diverged'):
        fit(tmp_path, recipe=wild)
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_a_tiny_network_learns_a_phantom_by_heart(tmp_path: Path) -> None:
    from tmsprep.phantoms import make_head

    head = make_head(1, voxel_size=(4.0, 4.0, 4.0))
    image = tmp_path / 'sub-01_T1w.nii.gz'
    nib.save(head.image, image)
    targets = [Target(name, name[0], '', '') for name in ('LHESCHL', 'RLLIMBMC', 'LOFC')]
    protocol = Protocol('three', 'three of its targets', '', tuple(targets))
    points = head.points.reindex(protocol.labels)
    material = load_material([Annotated('sub-01', image, points)], tmp_path / 'cohort')
    recipe = Recipe(
        'by heart',
        steps=200,
        batch=2,
        optimiser='adamw',
        learning_rate=1e-2,
        averaging=0.9,
        jitter=0.3,
        augmentation=Augmentation(rotation=0, translation=0),
        network={
            **TINY,
            'crops': (8, 8, 8, 8, 8, 8),
            'kernels': 4,
            'hidden': 8,
            'residual_width': 16,
            'readout': 3,
        },
    )
    settings = recipe.network_settings(len(protocol.labels), 'shared')
    plan = Plan(material.people, (), protocol, recipe, settings, tmp_path)
    weights = fit_ensemble(plan, tmp_path, seeds=(1,))
    found = predict_people(load_localizer(weights), material.people)
    assert errors_of(found, material.people).max() < 1.0
