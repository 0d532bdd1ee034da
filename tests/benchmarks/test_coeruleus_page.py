from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from coeruleus_tables import made

from coeruleus_parts.claims import claims
from coeruleus_parts.page import missed, speed, write_page
from coeruleus_parts.steps import Plan, crossval_command, is_crossvalidated


def verdicts(tables: dict[str, pd.DataFrame]) -> dict[str, bool | None]:
    return {claim.name: claim.holds for claim in claims(tables, 'crossval')}


def test_claims() -> None:
    assert set(verdicts(made()).values()) == {True}
    found = {claim.name: claim.found for claim in claims(made(), 'crossval')}
    assert found['halved'].startswith('left to 33 % (1.00 against 3.00 mm, p < 0.001); right')
    assert found['accurate'] == '1.00 mm (left 1.00 mm, right 1.00 mm)'
    assert 'left 0.60 against 0.50 (PP) and 0.30 (NPP)' in found['dice']
    assert found['dice'].endswith('significantly better in 2 of 2 tests of LPP, worse in 0')
    assert found['icc'].startswith('median 0.90 against 0.40 (PP) and 0.05 (NPP)')


@pytest.mark.parametrize(
    ('change', 'wrong'),
    [
        ({'without_mm': 1.9}, {'halved'}),
        ({'with_mm': 1.31}, {'accurate'}),
        ({'lpp': 0.5}, {'dice', 'fdr'}),
        ({'lpp_icc': 0.3}, {'icc'}),
    ],
)
def test_failed_claims(change: dict, wrong: set[str]) -> None:
    assert {name for name, holds in verdicts(made(**change)).items() if holds is False} == wrong


def test_undefined_counts() -> None:
    tables = made()
    tables['segmentation'].loc[tables['segmentation']['method'] == 'lpp', 'undefined'] = 4
    both = {'hemisphere': 'both', 'measure': 'cr_median', 'source': 'crossval'}
    tables['icc'] = pd.DataFrame([{**both, 'method': 'npp', 'missing': n} for n in (3, 5)])
    found = {claim.name: claim.found for claim in claims(tables, 'crossval')}
    assert found['fdr'].endswith('predictions without a value: 8 (LPP), 0 (PP), 0 (NPP)')
    assert found['icc'].endswith('nuclei without a ratio: 0 (LPP), 0 (PP), 8 (NPP)')


def test_one_side() -> None:
    tables = made()
    tables['augmentation'].loc[1, 'ratio'] = 0.6
    assert verdicts(tables)['halved'] is False


def test_not_measured() -> None:
    tables = made()
    assert set(verdicts({'table1': tables['table1'].iloc[:0]}).values()) == {None}


COST = {
    'shape': [128, 128, 80],
    'threads': 1,
    'lpp': {'seconds': 0.5, 'extra': 120.0, 'windows': 1},
    'npp': {'seconds': 7.5, 'extra': 100.0, 'windows': 75},
}
FACTS = {
    'settings': {
        **{'Participants': 82, 'HeldOut': 23, 'Folds': 5},
        'Recipe': {'name': 'quick', 'schedule': {'epochs': 60}, 'patch_schedule': {'epochs': 20}},
    },
    **{'shape': [128, 128, 80], 'voxel_mm': 0.75, 'speed': COST, 'seconds': {}},
    'trainings': [
        {'network': 'localizer', 'augmentation': 'with', 'trainings': 5, 'epochs': 60}
        | {'best_epoch': 55.0, 'minutes': 12.0}
    ],
    **{'people': {'measured': 23}, 'machine': 'a machine', 'versions': 'none'},
}


def test_page() -> None:
    page = write_page(made(without_mm=1.9), FACTS)
    assert '| Augmentation at least halves the error of localisation | **no** |' in page
    assert '| LPP has a higher Dice than PP and NPP (medians) | **yes** |' in page
    assert '96 x 96 x 60 mm' in page
    assert '82: 59 in 5 folds, 23 held out |' in page
    assert 'is 55 of 60' in page
    assert '\n- Augmentation at least halves' in page


def test_speed() -> None:
    text = speed(FACTS)
    assert 'LPP is 15.0 times faster' in text
    assert 'needs **more** memory, by 20 MB' in text
    other = {**COST, 'lpp': {'seconds': 15.0, 'extra': 90.0, 'windows': 1}}
    text = speed({**FACTS, 'speed': other})
    assert 'takes 2.0 times as long' in text
    assert '10 MB less memory' in text
    assert 'not in time' in missed([], other)
    assert missed([], COST).startswith('Nothing')


def test_is_crossvalidated(tmp_path: Path) -> None:
    plan = Plan(tmp_path, epochs=7)
    assert not is_crossvalidated(plan)
    said = (
        '{"Participants": 82, "HeldOut": 23, "Folds": 5, "Recipe": {"schedule": {"epochs": %d}}}'
    )
    plan.out.mkdir()
    plan.crossval_sidecar.write_text(said % 7)
    assert is_crossvalidated(plan)
    assert is_crossvalidated(plan._replace(epochs=None))
    assert not is_crossvalidated(plan._replace(epochs=8))
    assert not is_crossvalidated(plan._replace(held_out=0))


def test_crossval_command(tmp_path: Path) -> None:
    from tmsprep.cli.parser import parse_args

    (tmp_path / 'bids' / 'derivatives' / 'rater1').mkdir(parents=True)
    (tmp_path / 'bids' / 'sub-001').mkdir()
    description = '{"Name": "made", "BIDSVersion": "1.10.0"}'
    (tmp_path / 'bids' / 'dataset_description.json').write_text(description)
    config = parse_args(crossval_command(Plan(tmp_path, epochs=7))[2:])
    options = config.options
    names = ('folds', 'held_out', 'epochs', 'nprocs', 'recipe')
    assert [options[name] for name in names] == [5, 23, 7, 2, 'quick']
