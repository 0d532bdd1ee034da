"""Do the claims of Baxter et al. 2021 hold here: computed from the tables of a group."""

from __future__ import annotations

import pandas as pd

from coeruleus_parts.claims import Claim

#: The targets that were annotated by three experts in the paper.
PAIN = ('LFACEMC', 'RFACEMC', 'LLLIMBMC', 'RLLIMBMC', 'LULIMBMC', 'RULIMBMC')

_SINGLE = ('Ind. Res. No Ensemble', 'Shared Res. No Ensemble', 'No Res. No Ensemble')
_TOGETHER = ('Ind. Res. Ensemble', 'Shared Res. Ensemble', 'No Res. Ensemble')
_LAYERS = tuple(
    f'{pair} ({kind} Ens.)'
    for kind in ('With', 'No')
    for pair in ('Ind. vs Sh.', 'Ind. vs No', 'Sh. vs No')
)


def claims(tables: dict[int, pd.DataFrame]) -> list[Claim]:
    """Judge the claims of sections 3 and 4 of the paper.

    Parameters
    ----------
    tables : dict
        Number of the table to rows of the group level: 2, 3 and 5.
    """
    means = tables[2].set_index(['label', 'column'])['mean_mm']
    return [
        _registration(means),
        _better(tables[3]),
        _human(means, tables[3]),
        _below_human(tables[3]),
        _residual(tables[5]),
    ]


def _registration(means: pd.Series) -> Claim:
    network, atlas = (means.get(('MEAN', f'{name} Error')) for name in ('CNN', 'Reg.'))
    known = network is not None and atlas is not None
    return Claim(
        'registration',
        'The network is nearer to the consensus than the registration (motor targets)',
        bool(network < atlas) if known else None,
        f'{network:.2f} against {atlas:.2f} mm' if known else '',
        '7.24 against 9.39 mm',
    )


def _better(tests: pd.DataFrame) -> Claim:
    won, lost, total = _significant(tests, 'CNN vs. Reg.')
    return Claim(
        'better',
        'On some targets the network is significantly better than the registration, on none worse',
        won > 0 and lost == 0 if total else None,
        f'better on {won}, worse on {lost} of {total} targets',
        'better on 6, worse on 0 of 11 targets',
    )


def _human(means: pd.Series, tests: pd.DataFrame) -> Claim:
    won, lost, total = _significant(tests, 'CNN vs. Expert', PAIN)
    pair = [means.get(('MEAN', name)) for name in ('CNN Error', 'Expert Var.')]
    found = f'{won + lost} of {total} differences are significant'
    if None not in pair:
        found += f'; means {pair[0]:.2f} and {pair[1]:.2f} mm'
    return Claim(
        'human',
        'The network does not differ significantly from the experts (motor targets)',
        won + lost == 0 if total else None,
        found,
        '0 of 6 differences are significant; means 7.24 and 6.94 mm',
    )


def _below_human(tests: pd.DataFrame) -> Claim:
    won, lost, total = _significant(tests, 'Reg. vs. Expert', PAIN)
    return Claim(
        'below human',
        'On most motor targets the registration is significantly worse than the experts',
        lost > total / 2 if total else None,
        f'worse on {lost}, better on {won} of {total}',
        'worse on 5 of 6 in Table 3; "all but two" in the text',
    )


def ensembles(variants: pd.DataFrame) -> str:
    """Say how much nearer five networks are together than one; Table 4."""
    means = variants.pivot(index='label', columns='column', values='mean_mm')
    means = means.reindex(columns=[*_SINGLE, *_TOGETHER])
    gains = pd.concat(
        [means[alone] - means[five] for alone, five in zip(_SINGLE, _TOGETHER, strict=True)]
    ).drop('MEAN', errors='ignore')
    if gains.isna().all():
        return 'not known here before all repetitions are done'
    return f'by {gains.min():.2f} to {gains.max():.2f} mm here (median {gains.median():.2f} mm)'


def _residual(tests: pd.DataFrame) -> Claim:
    counts = [_significant(tests, column) for column in _LAYERS]
    different = sum(won + lost for won, lost, _ in counts)
    total = sum(count for *_, count in counts)
    return Claim(
        'residual',
        'Residual layers, shared or separate, make no significant difference',
        different == 0 if total else None,
        f'{different} of {total} tests are significant',
        '0 of 66 tests are significant',
    )


def _significant(
    tests: pd.DataFrame, column: str, labels: tuple[str, ...] | None = None
) -> tuple[int, int, int]:
    """Targets on which the first is significantly better, on which worse, and all targets."""
    rows = tests[(tests['column'] == column) & (tests['label'] != 'MEAN') & tests['z'].notna()]
    if labels is not None:
        rows = rows[rows['label'].isin(labels)]
    starred = rows[rows['stars'].notna()]
    won = int((starred['winner'] == starred['first']).sum())
    return won, len(starred) - won, len(rows)
