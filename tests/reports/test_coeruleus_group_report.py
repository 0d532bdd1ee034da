from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from tmsprep.methods.duennwald2021.group_answers import claims
from tmsprep.methods.duennwald2021.group_report import (
    CoeruleusContent,
    figure_path,
    write_coeruleus_group_report,
)
from tmsprep.methods.duennwald2021.group_report_tables import text_tables
from tmsprep.protocols import load_protocol

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / 'benchmarks'))

from coeruleus_parts.page import missed, speed, write_page  # noqa: E402
from coeruleus_parts.steps import Plan, crossval_command, is_crossvalidated  # noqa: E402

SIDES = {'LLC': 'L', 'RLC': 'R'}


def made(
    *,
    with_mm: float = 1.0,
    without_mm: float = 3.0,
    lpp: float = 0.6,
    lpp_icc: float = 0.9,
    source: str = 'crossval',
) -> dict[str, pd.DataFrame]:
    """Tables of a group in which the paper is right, unless something is changed."""
    errors = {'with': with_mm, 'without': without_mm}
    rows: dict[str, list[dict]] = {}
    for label, side in SIDES.items():
        effect = {'with_mm': with_mm, 'without_mm': without_mm, 'ratio': with_mm / without_mm}
        effect |= {'label': label, 'people': 23}
        rows.setdefault('augmentation', []).append(effect)
        for augmentation, error in errors.items():
            row = {'augmentation': augmentation, 'label': label}
            mean = {'mean_mm': error, 'mean_vx': error / 0.75, 'sd_mm': 0.5, 'sd_vx': 0.67}
            mean |= {'ci_low_mm': 0.9, 'ci_high_mm': 1.1, 'n': 115, 'people': 23, 'missing': 0}
            rows.setdefault('table1', []).append(row | mean)
            values = {'sagittal': 0.1, 'coronal': 0.2, 'axial': 1.5}
            if augmentation == 'without':
                values = {'sagittal': 3.0, 'coronal': 2.0, 'axial': 1.0}
            for axis, value in values.items():
                more = {'axis': axis, 'mse_mm2': value, 'sd_mm2': 1.0, 'mae_mm': 0.3}
                rows.setdefault('axes', []).append(row | more | {'bias_mm': -0.001})
            for person in range(7):
                one = row | {'participant': f'sub-{person}', 'error_mm': error + person / 10}
                rows.setdefault('errors', []).append(one)
        for method, dice in {'npp': 0.3, 'pp': 0.5, 'lpp': lpp}.items():
            row = {'method': method, 'hemisphere': side}
            for measure, value in (('dice', dice), ('fdr', 1 - dice)):
                box = {'measure': measure, 'median': value, 'quartile1': value, 'mean': value}
                box |= {'quartile3': value, 'n': 115, 'undefined': 0}
                rows.setdefault('segmentation', []).append(row | box)
            rows.setdefault('overlaps', []).append(row | {'dice': dice, 'fdr': 1 - dice})
        test = {'family': 'error_mm', 'hemisphere': side, 'first': 'with', 'second': 'without'}
        test |= {'mean_first': with_mm, 'mean_second': without_mm, 'n': 23, 'effect': -1.0}
        rows.setdefault('tests', []).append(test | {'p_holm': 0.0001})
        test |= {'family': 'dice', 'first': 'lpp', 'second': 'pp', 'effect': 1.0, 'p_holm': 0.01}
        rows['tests'].append(test)
    for method, icc in {'npp': 0.05, 'pp': 0.4, 'lpp': lpp_icc}.items():
        for measure in ('cr_median', 'cr_maximum'):
            row = {'method': method, 'hemisphere': 'both', 'measure': measure, 'icc': icc}
            row |= {'lowest': icc, 'highest': icc, 'folds': 5}
            rows.setdefault('icc_mean', []).append(row)
    rows['constant'] = [{'label': label, 'mean_mm': 2.0} for label in SIDES]
    return {name: pd.DataFrame(some).assign(source=source) for name, some in rows.items()}


def verdicts(tables: dict[str, pd.DataFrame]) -> dict[str, bool | None]:
    return {claim.name: claim.holds for claim in claims(tables, 'crossval')}


def test_the_paper_is_right_where_it_is() -> None:
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
def test_a_claim_that_fails_is_said_to(change: dict, wrong: set[str]) -> None:
    assert {name for name, holds in verdicts(made(**change)).items() if holds is False} == wrong


def test_what_a_method_is_not_judged_on_is_said() -> None:
    tables = made()
    tables['segmentation'].loc[tables['segmentation']['method'] == 'lpp', 'undefined'] = 4
    both = {'hemisphere': 'both', 'measure': 'cr_median', 'source': 'crossval'}
    tables['icc'] = pd.DataFrame([{**both, 'method': 'npp', 'missing': n} for n in (3, 5)])
    found = {claim.name: claim.found for claim in claims(tables, 'crossval')}
    assert found['fdr'].endswith('predictions without a value: 8 (LPP), 0 (PP), 0 (NPP)')
    assert found['icc'].endswith('nuclei without a ratio: 0 (LPP), 0 (PP), 8 (NPP)')


def test_one_side_is_not_enough() -> None:
    tables = made()
    tables['augmentation'].loc[1, 'ratio'] = 0.6
    assert verdicts(tables)['halved'] is False


def test_what_was_not_measured_is_not_judged() -> None:
    tables = made()
    assert set(verdicts({'table1': tables['table1'].iloc[:0]}).values()) == {None}
    assert text_tables({}, 'crossval') == []


def test_no_minus_zero() -> None:
    (axes,) = (t for t in text_tables(made(), 'crossval') if t.name == 'axes')
    assert axes.rows[0][-1] == '0.00'


def content(tables: dict[str, pd.DataFrame], *sources: str) -> CoeruleusContent:
    people = pd.DataFrame({'outcome': ['measured', 'measured', 'failed']})
    return CoeruleusContent(
        protocol=load_protocol('locus-coeruleus'),
        tables={**tables, 'people': people},
        remarks=(('error', 'sub-3', 'lost <b>& gone</b>'),),
        settings={s: {'Data': 'made', 'Folds': 5, 'HeldOut': 23} for s in sources},
        seed=1,
    )


def test_the_report_stands_alone(tmp_path: Path) -> None:
    path = write_coeruleus_group_report(tmp_path, content(made(), 'crossval'))
    html = path.read_text(encoding='utf-8')
    assert html.count('data:image/svg+xml') == 2
    assert 'src="http' not in html
    assert '<script' not in html
    assert 'lost &lt;b&gt;&amp; gone&lt;/b&gt;' in html
    assert '3 people tested' in html
    assert 'Data: made.' in html
    first = path.read_bytes()
    assert (
        write_coeruleus_group_report(tmp_path, content(made(), 'crossval')).read_bytes() == first
    )


def test_points_alone_make_a_report(tmp_path: Path) -> None:
    figure = figure_path(tmp_path, 'crossval', 'errors')
    figure.parent.mkdir()
    figure.write_text('of an earlier run')
    tables = made(source='participant')
    few = {name: tables[name] for name in ('table1', 'errors')}
    few['errors']['augmentation'] = None
    few['table1']['augmentation'] = float('nan')
    html = write_coeruleus_group_report(tmp_path, content(few, 'participant')).read_text()
    assert 'nothing was segmented' in html
    assert 'network of the participant level' in html
    assert not figure.exists()


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


def test_the_page_answers_from_the_tables() -> None:
    page = write_page(made(without_mm=1.9), FACTS)
    assert '| Augmentation at least halves the error of localisation | **no** |' in page
    assert '| LPP has a higher Dice than PP and NPP (medians) | **yes** |' in page
    assert '96 x 96 x 60 mm' in page
    assert '82: 59 in 5 folds, 23 held out |' in page
    assert 'is 55 of 60' in page
    assert '\n- Augmentation at least halves' in page


def test_the_page_says_what_lpp_costs() -> None:
    text = speed(FACTS)
    assert 'LPP is 15.0 times faster' in text
    assert 'needs **more** memory, by 20 MB' in text
    other = {**COST, 'lpp': {'seconds': 15.0, 'extra': 90.0, 'windows': 1}}
    text = speed({**FACTS, 'speed': other})
    assert 'takes 2.0 times as long' in text
    assert '10 MB less memory' in text
    assert 'not in time' in missed([], other)
    assert missed([], COST).startswith('Nothing')


def test_a_finished_crossvalidation_is_not_done_again(tmp_path: Path) -> None:
    plan = Plan(tmp_path, epochs=7)
    assert not is_crossvalidated(plan)
    said = (
        '{"Participants": 82, "HeldOut": 23, "Folds": 5, "Recipe": {"schedule": {"epochs": %d}}}'
    )
    plan.out.mkdir()
    (plan.out / 'crossval_points.json').write_text(said % 7)
    assert is_crossvalidated(plan)
    assert is_crossvalidated(plan._replace(epochs=None))
    assert not is_crossvalidated(plan._replace(epochs=8))
    assert not is_crossvalidated(plan._replace(held_out=0))


def test_the_command_is_one_of_the_app(tmp_path: Path) -> None:
    from tmsprep.cli.parser import parse_args

    (tmp_path / 'bids' / 'derivatives' / 'rater1').mkdir(parents=True)
    (tmp_path / 'bids' / 'sub-001').mkdir()
    description = '{"Name": "made", "BIDSVersion": "1.10.0"}'
    (tmp_path / 'bids' / 'dataset_description.json').write_text(description)
    config = parse_args(crossval_command(Plan(tmp_path, epochs=7))[2:])
    assert (config.folds, config.held_out, config.epochs, config.nprocs) == (5, 23, 7, 2)
    assert config.recipe == 'quick'
