from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tmsprep.imaging.read import ImageError
from tmsprep.imaging.volume import average_pyramid
from tmsprep.learning.folds import Job
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.cohort import Person
from tmsprep.methods.baxter2021.crossval import (
    predict,
    recipe_from_json,
    recipe_to_json,
    run_job,
    train_fold,
)
from tmsprep.methods.baxter2021.prepared import Prepared, read_cohort, write_cohort
from tmsprep.methods.baxter2021.recipes import RECIPES, Recipe
from tmsprep.methods.baxter2021.training import Training
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target

PROTOCOL = Protocol(
    'test',
    'test',
    'test',
    (
        Target('LA', 'L', 'a', '', 'RA'),
        Target('RA', 'R', 'b', '', 'LA'),
        Target('C', 'L', 'c', ''),
    ),
)
RECIPE = Recipe(
    'tiny',
    steps=4,
    batch=2,
    optimiser='adamw',
    learning_rate=1e-2,
    augmentation=Augmentation(mirror=0.5, noise=0.1),
    network={'crops': (8, 4, 4, 4, 4, 4), 'kernels': 2, 'channels': 2, 'hidden': 2},
)
ONCE = replace(RECIPE, augmentation=Augmentation())
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
CORNER = [0.5, 0.5, -0.5]
"""World position of the corner of the volume's first voxel."""
LEFT_OUT = ('sub-02',)


def write_person(folder: Path, name: str, seed: int, corner: float = 256.0) -> Prepared:
    """Put a person of random voxels where `load_cohort` looks for what it prepared earlier."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((16, 16, 16), dtype=np.float32)
    fine = np.repeat(np.repeat(np.repeat(coarse, 16, 0), 16, 1), 16, 2)
    folder.mkdir(parents=True, exist_ok=True)
    levels = average_pyramid(fine, 6)
    np.save(folder / f'{name}.npy', np.concatenate([level.ravel() for level in levels]))
    np.savez(folder / f'{name}.npz', affine=AFFINE, hull=np.empty((0, 3), np.float32))
    world = CORNER + generator.uniform(90, 160, (3, 3)) * [-1, -1, 1]
    points = PointSet(PROTOCOL.labels, world)
    affine = tuple(tuple(row) for row in AFFINE.tolist())
    return Prepared(name, f'/nowhere/{name}_T1w.nii.gz', str(seed), points, str(folder), affine)


@pytest.fixture(scope='module')
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[Prepared]:
    folder = tmp_path_factory.mktemp('cohort')
    return [write_person(folder, f'sub-0{i}', i) for i in (1, 2, 3)]


def job(variant: str = 'shared', seed: int = 11) -> Job:
    return Job(variant, 1, 2, LEFT_OUT, seed)


def people_of(cohort: list[Prepared]) -> list[Person]:
    return [person.load() for person in cohort if person.participant not in LEFT_OUT]


def test_the_left_out_person_leaves_no_trace(cohort: list[Prepared], tmp_path: Path) -> None:
    checkpoint, other = tmp_path / 'a.pt', tmp_path / 'b.pt'
    first = run_job(cohort, job(), RECIPE, PROTOCOL, checkpoint=checkpoint)
    # Another image, and points that are missing or far away, under the same name.
    garbage = write_person(tmp_path / 'garbage', 'sub-02', seed=99)
    garbage = replace(garbage, points=PointSet(PROTOCOL.labels, np.full((3, 3), 1e6)))
    run_job([cohort[0], garbage, cohort[2]], job(), RECIPE, PROTOCOL, checkpoint=other)
    one, two = (torch.load(p, weights_only=True)['network'] for p in (checkpoint, other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    # Other points on the same image: the very same prediction.
    moved = replace(cohort[1], points=garbage.points)
    again = run_job([cohort[0], moved, cohort[2]], job(), RECIPE, PROTOCOL)
    assert again == first
    assert list(first) == ['sub-02']


def test_the_test_above_can_fail(cohort: list[Prepared], tmp_path: Path) -> None:
    # A change to someone in training does change the prediction.
    moved = replace(cohort[0], points=PointSet(PROTOCOL.labels, cohort[0].points.coordinates + 20))
    first = run_job(cohort, job(), ONCE, PROTOCOL)
    assert run_job([moved, *cohort[1:]], job(), ONCE, PROTOCOL) != first


def test_training_never_opens_the_left_out_image(cohort: list[Prepared], tmp_path: Path) -> None:
    absent = replace(cohort[1], cache=str(tmp_path / 'none'))
    checkpoint = tmp_path / 'checkpoint.pt'
    with pytest.raises(ImageError, match=r'sub-02_T1w\.nii\.gz'):
        run_job([cohort[0], absent, cohort[2]], job(), RECIPE, PROTOCOL, checkpoint=checkpoint)
    # Training was over by the time that the image was missed.
    assert torch.load(checkpoint, weights_only=True)['step'] == RECIPE.steps


def test_all_images_of_a_participant_are_left_out(tmp_path: Path, cohort: list[Prepared]) -> None:
    names = ('sub-02_ses-A', 'sub-02_ses-B')
    several = [write_person(tmp_path, name, seed) for seed, name in enumerate(names, start=5)]
    found = run_job([cohort[0], *several, cohort[2]], job(), RECIPE, PROTOCOL)
    assert tuple(found) == names
    checkpoint = tmp_path / 'c.pt'
    run_job([cohort[0], cohort[2], several[0]], job(), RECIPE, PROTOCOL, checkpoint=checkpoint)
    trained = train_fold([cohort[0].load(), cohort[2].load()], job(), RECIPE, PROTOCOL)
    saved = torch.load(checkpoint, weights_only=True)['network']
    assert all(torch.equal(saved[name], value) for name, value in trained.state_dict().items())


def test_points_come_back_in_world_coordinates(cohort: list[Prepared]) -> None:
    network = train_fold(people_of(cohort), job(), RECIPE, PROTOCOL)
    inside = predict(network, cohort[1].load(), people_of(cohort), RECIPE, PROTOCOL)
    found = run_job(cohort, job(), RECIPE, PROTOCOL)['sub-02']
    np.testing.assert_allclose(found.coordinates, CORNER + inside * [-1, -1, 1])


def test_a_target_that_nobody_in_training_has_stays_missing(cohort: list[Prepared]) -> None:
    lacking = [
        replace(p, points=p.points.reindex(['LA', 'RA']).reindex(PROTOCOL.labels)) for p in cohort
    ]
    found = run_job([lacking[0], cohort[1], lacking[2]], job(), RECIPE, PROTOCOL)['sub-02']
    assert found.found.tolist() == [True, True, False]


def test_a_training_that_diverged_gives_no_points(cohort: list[Prepared]) -> None:
    wild = replace(ONCE, optimiser='sgd', learning_rate=1e30)
    assert not run_job(cohort, job(), wild, PROTOCOL)['sub-02'].found.any()


def test_variants_and_seeds_differ(cohort: list[Prepared]) -> None:
    found = [
        run_job(cohort, job(*settings), ONCE, PROTOCOL)['sub-02']
        for settings in (('shared', 11), ('none', 11), ('shared', 12), ('shared', 11))
    ]
    assert found[0] == found[3]
    assert found[0] != found[1]
    assert found[0] != found[2]


def test_an_interrupted_job_ends_where_an_unbroken_one_does(
    cohort: list[Prepared], tmp_path: Path
) -> None:
    unbroken = run_job(cohort, job(), RECIPE, PROTOCOL)
    checkpoint = tmp_path / 'checkpoint.pt'

    class Killed(Exception):
        pass

    def kill(step: int, loss: float) -> None:
        if step == 3:
            raise Killed

    settings = RECIPE.network_settings(3, residual='shared')
    with pytest.raises(Killed):
        Training(settings, RECIPE, PROTOCOL, 11).run(
            people_of(cohort), checkpoint, every=2, progress=kill
        )
    assert torch.load(checkpoint, weights_only=True)['step'] == 2
    assert run_job(cohort, job(), RECIPE, PROTOCOL, checkpoint=checkpoint) == unbroken


def test_people_who_could_not_be_prepared(cohort: list[Prepared]) -> None:
    broken = [replace(person, error='truncated') for person in cohort]
    assert run_job([cohort[0], broken[1], cohort[2]], job(), RECIPE, PROTOCOL) == {}
    with pytest.raises(ValueError, match='shared_rep1_fold02: nobody is left to train on'):
        run_job([broken[0], cohort[1], broken[2]], job(), RECIPE, PROTOCOL)


@pytest.mark.parametrize('recipe', [*RECIPES.values(), RECIPE], ids=lambda recipe: recipe.name)
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    again = recipe_from_json(recipe_to_json(recipe))
    assert recipe_to_json(again) == recipe_to_json(recipe)
    assert again.network_settings(3, 'none') == recipe.network_settings(3, 'none')
    assert again.augmentation == recipe.augmentation


def test_a_cohort_survives_its_file(cohort: list[Prepared], tmp_path: Path) -> None:
    missing = replace(cohort[0], points=PointSet.from_mapping({'C': (1, 2, 3)}, PROTOCOL.labels))
    people = [missing, replace(cohort[1], error='bad'), cohort[2]]
    assert read_cohort(write_cohort(tmp_path / 'cohort.json', people)) == people
