from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from coeruleus_weights import WEIGHTS

from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.task import Images
from tmsprep.methods.duennwald2021.search import scale_crop
from tmsprep.methods.duennwald2021.tasks import segmentation_loss
from tmsprep.methods.duennwald2021.two_stages import load_stages

from coeruleus_simulation.crops import CROP
from coeruleus_simulation.heads import Head, make_head, template_lattice
from coeruleus_testing.cases import Case, measure_all
from coeruleus_testing.images import Shown
from coeruleus_testing.results import doubts_of, errors_left, rows_of, slope, summarise
from coeruleus_training.bank import Bank, own_labels
from coeruleus_training.first_stage import FIRST_LABELS, VIEW_MM, first_task, repaint, view_image
from coeruleus_training.guard import Stage, has_learned, kept, make_card, warning_of
from coeruleus_training.second_stage import (
    BEYOND,
    EDGES,
    INSIDE,
    TOGETHER,
    WINDOW,
    CropTask,
    blind_error,
    cut_off,
    heatmap_loss,
    localizer_of,
    segmenter_of,
    window,
)


def test_own_labels() -> None:
    """A nucleus is 1 in its own crop, on either side."""
    labels = np.array([0, 1, 2], np.uint8)
    for side, expected in ((0, [0, 1, 2]), (1, [0, 2, 1])):
        crop = SimpleNamespace(scan=SimpleNamespace(labels=labels), side=side)
        assert own_labels(crop).tolist() == expected  # type: ignore[arg-type]


def test_cut_off() -> None:
    """What is beyond the edge is a reflection without labels; a point there is lost."""
    line = torch.arange(float(CROP)).expand(CROP, CROP, CROP)
    labels = torch.ones((CROP,) * 3, dtype=torch.long)
    cut = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        for place in (1.0, 15.5, 30.0):
            point = torch.tensor([15.0, 15.0, place])
            volume, left, moved = cut_off(line, labels, point, generator)
            inside = left[0, 0] == 1
            seen = volume[0, 0]
            assert (seen[inside] == line[0, 0][inside]).all()
            assert int(inside.sum()) >= CROP - BEYOND
            assert set(seen.tolist()) <= set(line[0, 0][inside].tolist())
            assert bool(moved.isnan().any()) == (not bool(inside[round(place)]))
            cut += int(not inside.all())
    assert cut / 180 == pytest.approx(EDGES, abs=0.1)


def test_window() -> None:
    """Image, labels and point move together, and the point stays inside; every place occurs."""
    places = torch.cartesian_prod(*[torch.arange(float(CROP))] * 3).view(*[CROP] * 3, 3)
    begins = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        for point in ([15.0, 15.0, 15.0], [1.0, 30.0, 15.0], [6.5, 15.0, 2.0], [np.nan] * 3):
            labels = (places - torch.tensor(point)).norm(dim=-1) < 1
            parts = [
                window(places[..., axis], labels, torch.tensor(point), generator.clone_state())
                for axis in range(3)
            ]
            seen = torch.stack([part[0] for part in parts], dim=-1)
            _, marked, moved = parts[0]
            assert seen.shape[:3] == WINDOW
            begins.add(tuple(seen[0, 0, 0].int().tolist()))
            if np.isnan(point).any():
                assert moved.isnan().all()
                continue
            assert torch.equal(moved + seen[0, 0, 0], torch.tensor(point))
            assert marked.any()
            assert torch.equal(marked, (seen - torch.tensor(point)).norm(dim=-1) < 1)
            low = torch.minimum(moved, torch.tensor(WINDOW) - 1 - moved)
            edge = torch.tensor(point).minimum(CROP - 1 - torch.tensor(point))
            assert (low >= edge.clamp_max(INSIDE)).all()
    assert {begin[0] for begin in begins} == set(range(CROP - WINDOW[0] + 1))


def test_heatmap_loss() -> None:
    """The logarithm of the voxels of a flat one, and of those of the nucleus at its best."""
    labels = torch.zeros((2, 8, 8, 8), dtype=torch.long)
    labels[0, 2:4, 3, 1:6] = 1
    labels[:, 7] = 2
    flat = torch.full((2, 8, 8, 8), 8.0**-3)
    assert heatmap_loss(flat, labels).item() == pytest.approx(np.log(512), rel=1e-5)
    shape = (labels == 1).float() / 10
    assert heatmap_loss(shape, labels).item() == pytest.approx(np.log(10), rel=1e-5)
    assert heatmap_loss(flat[1:], labels[1:]).item() == 0


def test_validate(tmp_path: Path) -> None:
    """The middles of crops have the errors together that they have one by one."""
    bank = Bank(tmp_path, [_head()], TOGETHER + 2, 0, judged=True)
    seen = bank.seen()
    assert 0 < seen.sum() < len(seen)
    assert np.isfinite(bank.points()[seen]).all()
    localizer = localizer_of(1).eval()
    segmenter = segmenter_of(1, localizer).eval()
    errors, losses = [], []
    with torch.no_grad():
        for number in range(len(bank)):
            volume, labels, points = bank[number]
            crop = torch.from_numpy(scale_crop(volume[4:28, 4:28].numpy()))[None]
            point = points[0] - torch.tensor([4, 4, 0])
            off = (localizer(crop)[0][0, 0] - point).norm().item() * 0.75
            errors += [off] if seen[number] else []
            losses.append(segmentation_loss(segmenter(crop), labels[None, 4:28, 4:28]).item())
        measured = [
            CropTask(bank, bank, network, 1, 4, 1).validate(network)
            for network in (localizer, segmenter)
        ]
    assert measured == pytest.approx([np.mean(errors), np.mean(losses)], rel=1e-4)


def test_blind_error() -> None:
    """The mean offset of the training set is taken off, as a blind guess knows it."""
    training = np.array([[[2.0, 0, 0], [0, 0, 0]], [[4.0, 0, 0], [0, 0, 0]]])
    measured = np.array([[[3.0, 4, 0], [0, 0, 0]], [[3.0, 0, 0], [0, 0, 0]]])
    assert blind_error(training, measured) == pytest.approx(0.75 * 2)
    unseen = np.array([[[np.nan] * 3, [0.0, 0, 0]]])
    assert blind_error(training, np.concatenate([measured, unseen])) == pytest.approx(0.75 * 2)


def test_has_learned() -> None:
    assert has_learned({'localizer-1': 0.7, 'localizer-2': 0.8}, 1.5) == {
        'localizer-1': True,
        'localizer-2': False,
    }


def _sides(errors: list[float]) -> pd.DataFrame:
    return pd.DataFrame({'visible': True, 'status': 'ok', 'error_mm': errors})


def test_warning_of() -> None:
    """At most half of the blind error, and one point in twenty over 3 mm, without a warning."""
    learned = Stage((), {'localizer-1': 0.7}, 1.6)
    assert warning_of(learned, _sides([0.79] * 20)) == {}
    assert warning_of(learned, _sides([0.5] * 19 + [3.1])) == {}
    (text,) = warning_of(learned, _sides([0.9] * 20)).values()
    assert 'their mean error was 0.9 mm, beside the 1.6 mm of a guess' in text
    (text,) = warning_of(learned, _sides([0.1] * 18 + [3.1] * 2)).values()
    assert '10 % of points without another warning' in text
    # Sides with a warning, and invisible ones, do not count; if none is left, nothing is shown.
    others = _sides([9.0] * 2).assign(status='unreliable')
    assert warning_of(learned, pd.concat([_sides([0.5] * 9), others])) == {}
    assert warning_of(learned, others) != {}
    # Networks that have learned too little are warned of, whatever the limits leave.
    (text,) = warning_of(Stage((), {'a': 0.7, 'b': 0.9}, 1.6), _sides([0.1] * 20)).values()
    assert text.startswith('in simulated images its mean error was 0.9 mm, over half of the 1.6')


def test_doubts_of() -> None:
    """Each limit makes its status; that of the image goes before what is seen of a side."""
    limits = {'visibility': 0.5, **dict.fromkeys(('spread_mm', 'dispersion_mm', 'shift_mm'), 2.0)}
    limits |= {'finder_mm': 2.0, 'misfit_mm': 2.0}
    fine = {'visibility': 0.9, **dict.fromkeys(list(limits)[1:], 1.0)}
    rows = [fine, *({**fine, name: 3.0} for name in list(limits)[1:]), {**fine, 'visibility': 0.4}]
    rows += [rows[-1] | {'spread_mm': 3.0}, rows[-1] | {'misfit_mm': 3.0}]
    found = doubts_of(pd.DataFrame(rows), limits).tolist()
    assert found == ['ok', *['unreliable'] * 5, 'not_visible', 'not_visible', 'unreliable']


def _head() -> Head:
    """A head like the template's, 2 mm, uniform but for its fourth ventricle."""
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-50, -86, -78]
    t1w = np.ones((51, 49, 50), np.float32)
    t1w[22:29, 18:23, 20:30] = 0.2
    return make_head('one', t1w, np.ones(t1w.shape, np.uint8), affine, template_lattice())


def _shown(points: np.ndarray) -> Shown:
    axes = np.stack([np.diag([-1.0, 1, 1]), np.eye(3)])
    return Shown(None, points, np.array([[-5.0, 0, 0], [5, 0, 0]]), axes, None)  # type: ignore[arg-type]


def test_rows_of() -> None:
    """Offsets are along the side's own axes; an invisible side has no error."""
    shown = _shown(np.array([[-6.0, 0, 2], [np.nan] * 3]))
    left, right = rows_of(shown, np.array([[-5.0, 0, 2], [5, 0, 0]]), np.array([0.0, 0, 10]))
    assert (left['visible'], right['visible']) == (True, False)
    assert left['error_mm'] == pytest.approx(1)
    assert (left['true_side'], left['found_side'], left['true_up']) == pytest.approx((1, 0, 2))
    assert left['seen_z'] == pytest.approx(-8)
    assert np.isnan(right['error_mm'])


def test_slope() -> None:
    """1 for one who looks at the nucleus, 0 for one who looks at the stem alone."""
    true = np.array([-1.0, 0, 2, np.nan])
    assert slope(true, true + 3) == pytest.approx(1)
    assert slope(true, np.full(4, 3.0)) == pytest.approx(0)


def test_errors_left() -> None:
    """The mean of the other heads, same side."""
    rows = pd.DataFrame({'head': ['a', 'b', 'c'], 'side': 'left', 'x': [0.0, 2, 4], 'y': 0.0})
    rows['z'] = 0.0
    assert errors_left(rows, ['x', 'y', 'z']) == pytest.approx([3, 0, 3])


def test_summarise() -> None:
    """Perfect points: slopes 1, no error, and the rows of who does not look."""
    rng = np.random.default_rng(0)
    rows = []
    for name in 'abcdef':
        shown = _shown(np.array([[-5.0, 0, 0], [5, 0, 0]]) + rng.normal(0, 1, (2, 3)))
        extra = {'head': name, 'image': name, 'status': 'ok', 'dice': 1.0, 'ceiling': 1.0}
        found = rows_of(shown, shown.points, np.zeros(3))
        rows += [row | extra | {'radius_mm': np.nan} for row in found]
    summary = summarise(pd.DataFrame(rows))
    assert summary['mean_mm'] == 0
    assert summary['near'] == 1
    assert summary['slope_up'] == pytest.approx(1)
    assert summary['slope_up_interval'] == pytest.approx((1, 1))
    assert 1 < float(summary['stem_only_mm']) < 3  # type: ignore[arg-type]
    assert summary['sides'] == summary['kept'] == 12
    assert summary['kept_wrong'] == 0


def test_repaint() -> None:
    """Tissues keep their shape and lose their order of brightness and their texture."""
    rng = np.random.default_rng(0)
    volume = np.zeros((40, 40, 40))
    volume[4:36, 4:36, 4:36] = 1.0
    volume[12:28, 12:28, 12:28] = 0.4
    shown = volume + 0.02 * rng.standard_normal(volume.shape)
    brighter = []
    for seed in range(40):
        painted = repaint(np.abs(shown), np.random.default_rng(seed))
        assert painted.dtype == np.float32
        assert (painted >= 0).all()
        assert np.median(painted[:2]) < 0.25
        inner, outer = painted[15:25, 15:25, 15:25], painted[6:10, 6:34, 6:34]
        assert inner.std() < 0.5
        brighter.append(np.median(inner) - np.median(outer))
    assert 0.2 < np.mean(np.array(brighter) > 0.03) < 0.8
    again = [repaint(np.abs(shown), np.random.default_rng(3)) for _ in range(2)]
    assert (again[0] == again[1]).all()


def test_first_task_goes_on() -> None:
    """From other weights the same network is trained on, at half the rate; seeds draw the rest."""
    first = first_task(Images([]), 1, 10)
    more = first_task(Images([]), 2, 10, start=cast(MultiResolutionNet, first.networks[0]))
    pairs = zip(*(task.networks[0].state_dict().values() for task in (first, more)), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert more.recipe.learning_rate == first.recipe.learning_rate / 2
    assert (more.seed, more.recipe.steps) == (2, 10)


def test_measured_again(tmp_path: Path) -> None:
    """A run that was resumed finds the same numbers as the one that measured them."""
    cases, model = [Case('phantom', 'stem', '1', 1)], load_stages(WEIGHTS)
    first, again = (
        measure_all(cases, model, tmp_path, tmp_path, tmp_path / 'rows.tsv') for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert first['side'].tolist() == ['left', 'right']


def test_make_card() -> None:
    """The recipe is the command: what was trained on, kept or trained anew."""
    stages = {'localizer': Stage((torch.nn.Identity(),), {'localizer-1': 0.81234}, 1.87)}
    card = make_card(stages, {'--keep': ['first'], '--new': ['segmenter', 'localizer']})
    assert card['recipe'] == (
        'benchmarks/coeruleus_weights.py --start --keep first --new localizer segmenter'
    )
    assert json.loads(card['seeds']) == {'localizer': 1}
    assert json.loads(card['validation']) == {
        'localizer': {'blind_mm': 1.87, 'localizer-1': 0.812}
    }
    assert make_card(stages)['recipe'] == 'benchmarks/coeruleus_weights.py'
    given: dict[str, list[str]] = {'--keep': [], '--new': []}
    assert make_card(stages, given)['recipe'] == 'benchmarks/coeruleus_weights.py --start'


def test_kept() -> None:
    """Networks that are not trained keep what their card says of them."""
    start = load_stages(WEIGHTS)
    said = json.loads(start.card['validation'])['localizer']
    stage = kept('localizer', start)
    assert stage.networks == start.crop.localizers
    assert {'blind_mm': stage.blind_mm, **stage.errors} == said


def test_view_image() -> None:
    """The landmarks lie where the head has them, along L, P and S."""
    volume, points = view_image(_head(), 3)
    assert volume.shape == (128, 128, 128)
    left, right = (points[FIRST_LABELS.index(label)] for label in ('LLC', 'RLC'))
    assert left[0] > right[0]
    assert points[FIRST_LABELS.index('PONS'), 1] < left[1]
    assert np.linalg.norm(left - right) == pytest.approx(11.2, abs=1.5)
    assert volume[tuple((points[2] / VIEW_MM).astype(int))] > 0.2
