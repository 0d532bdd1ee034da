"""Tables of a group of participants, made up."""

from __future__ import annotations

import pandas as pd

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
        effect |= {'label': label, 'people': 23, 'difference_mm': with_mm - without_mm}
        effect |= {'ci_low_mm': -2.5, 'ci_high_mm': -1.5}
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
            for number in range(7):
                one = row | {'participant': f'sub-{number}', 'error_mm': error + number / 10}
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
