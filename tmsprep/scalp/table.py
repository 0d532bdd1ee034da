"""The table of positions of the 10-20 system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.scalp.outcomes import Scalp
from tmsprep.tables import column, write_or_delete

#: Value of the entity ``desc``, and suffix of the table.
POSITIONS = ('tentwenty', 'positions')

_DESCRIPTION = (
    'Positions on the scalp measured by the 10-20 system (Jasper 1958; Klem et al. 1999) and by '
    'the Beam F3 method (Beam et al. 2009), over the head surface of this T1w'
)

_COLUMNS = {
    'label': column(
        'Name of the position',
        Nasion='deepest point of the root of the nose',
        Inion='bump at the back of the head, carried over from a mean head',
        LPA='point in front of the left ear, carried over from a mean head',
        RPA='the same on the right',
        BeamF3='F3 by the Beam F3 method',
        BeamF4='the same on the right',
    )
}

#: What the sidecar says of how far to trust the positions.
ACCURACY = (
    'On Colin27, positions lie 3 to 4 mm from those of the published montage standard_1020. '
    'Between participants the nasion varies by 4 mm (SD) about its expected place, where it is '
    'then found by shape; inion and ears are not found but carried over, with an error of about '
    '8 mm along the skin, half of which passes on to Cz, C3 and C4, and less to F3 and F4. On a '
    'patient they are palpated: measure there, and compare'
)


def write_positions(path: Path, scalp: Scalp, entries: Mapping[str, Any]) -> list[Path]:
    """Write the positions of one image, or delete those of an earlier run if there are none.

    Parameters
    ----------
    path : Path
        The table.
    scalp : Scalp
        Of the image.
    entries : mapping
        Entries that every sidecar of the image has.

    Returns
    -------
    list of Path
        The table, if there is one.
    """
    found, table = scalp.positions, None
    measures = {}
    if found is not None:
        places = np.array(list(found.positions.values()))
        table = pd.DataFrame(
            {'label': list(found.positions), **dict(zip('xyz', places.T, strict=True))}
        )
        measures = {name: round(mm, 1) for name, mm in found.measures.items()}
    return write_or_delete(
        path,
        table,
        _DESCRIPTION,
        _COLUMNS,
        **entries,
        Measures={**measures, 'Units': 'mm'},
        BeamF3='From Fpz, 10 % of the way from nasion to inion, BeamX along the circumference to '
        'the left; from the vertex (Cz) BeamY towards that place. By the calculator of the '
        'authors of the method; distances in mm',
        Accuracy=ACCURACY,
        Localizer=scalp.method,
    )
