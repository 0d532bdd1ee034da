"""What is kept of an image's DICOM header: settings of the scanner, nothing about the patient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Numbers that describe how an image was acquired.
NUMBERS = (
    *('MagneticFieldStrength', 'EchoTime', 'RepetitionTime', 'InversionTime', 'FlipAngle'),
    *('SliceThickness', 'SpacingBetweenSlices', 'PixelBandwidth', 'PartialFourier'),
    *('ParallelReductionFactorInPlane', 'PercentPhaseFOV', 'PercentSampling'),
)

#: Codes of DICOM (PS3.3, C.8.3.1 and C.7.6.1) to the values that are kept, one or several of them.
CODES = {
    'Modality': {'MR'},
    'MRAcquisitionType': {'2D', '3D'},
    'ScanningSequence': {'SE', 'IR', 'GR', 'EP', 'RM'},
    'SequenceVariant': {'SK', 'MTC', 'SS', 'TRSS', 'SP', 'MP', 'OSP', 'NONE'},
    'ImageType': {
        *(
            'ORIGINAL',
            'DERIVED',
            'PRIMARY',
            'SECONDARY',
            'M',
            'P',
            'R',
            'I',
            'ND',
            'DIS2D',
            'DIS3D',
        ),
        *(
            'NORM',
            'FM',
            'FIL',
            'UNI',
            'MPR',
            'MIP',
            'PROJECTION',
            'REFORMATTED',
            'RESAMPLED',
            'MFSPLIT',
        ),
        *('OTHER', 'MAGNITUDE', 'PHASE', 'REAL', 'IMAGINARY', 'T1', 'NONE', 'MEAN', 'LOCALIZER'),
        *('M_FFE', 'M_IR', 'FFE', 'IR'),
    },
    'PatientPosition': {'HFS', 'HFP', 'HFDR', 'HFDL', 'FFS', 'FFP', 'FFDR', 'FFDL'},
    # What the converter says in words of its own.
    'Manufacturer': {
        *('Siemens', 'GE', 'Philips', 'Canon', 'Toshiba', 'Hitachi', 'UIH', 'Bruker', 'Mediso'),
        *('MRSolutions', 'LiteMR'),
    },
    'ConversionSoftware': {'dcm2niix'},
}

_VERSION = re.compile(r'v?[\d.]{1,20}')


def allowed(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Filter the fields of a converted image by a list of those that may be kept.

    Free text is left out whatever its name: operators write names of patients into descriptions
    of series, studies and protocols, and into comments. So are codes that are not in the list.

    Parameters
    ----------
    sidecar : mapping
        As dcm2niix writes it.

    Returns
    -------
    dict
        Fields of `NUMBERS` that are numbers, the known values of `CODES`, and the converter's
        version.

    Examples
    --------
    >>> allowed({'EchoTime': 0.003, 'SeriesDescription': 'T1 Smith', 'ImageType': ['M', 'SMITH']})
    {'EchoTime': 0.003, 'ImageType': ['M']}
    """
    kept = {name: sidecar[name] for name in NUMBERS if _is_number(sidecar.get(name))}
    for name, known in CODES.items():
        values = codes(sidecar, name)
        if known_values := [value for value in values if value in known]:
            several = isinstance(sidecar[name], list)
            kept[name] = known_values if several else '\\'.join(known_values)
    version = sidecar.get('ConversionSoftwareVersion')
    if isinstance(version, str) and _VERSION.fullmatch(version):
        kept['ConversionSoftwareVersion'] = version
    return kept


def codes(sidecar: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a field that has one or several, as a list or with backslashes."""
    value = sidecar.get(name)
    if isinstance(value, str):
        return [code for code in value.split('\\') if code]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
