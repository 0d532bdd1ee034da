"""Which series of an examination is the T1w, by rules that are stated in the documentation.

The rules look at what the scanner says of the sequence, then at the grid, and only then at words
that operators have typed. Facts: DICOM PS3.3, C.8.3.1 (MR image module).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmsprep.intake.metadata import codes
from tmsprep.intake.source import IntakeError
from tmsprep.text import shown

#: Shortest edge of the field of view that holds a head, mm: from ear to ear a head has 140 to 160.
#: Slabs of angiographies and hippocampus series have up to 100.
SMALLEST_VIEW_MM = 120.0

#: Largest edge of a voxel, mm. 3D series for navigation have 1; thick slices of 2D series 3 to 6.
LARGEST_VOXEL_MM = 3.0

#: Longest echo of a T1w gradient echo, s: MPRAGE and SPGR have 0.002 to 0.006, T2* over 0.015.
LONGEST_ECHO_S = 0.012

#: Smallest flip angle without inversion, degrees: SPGR has 10 to 30; below, it is weighted by
#: proton density, as in the first of the two series of a T1 map.
SMALLEST_FLIP = 8.0

_OTHER_KINDS = {
    'LOCALIZER': 'a localizer',
    'P': 'a phase image',
    'PHASE': 'a phase image',
    'PHASE MAP': 'a phase image',
    'R': 'a real part',
    'REAL': 'a real part',
    'I': 'an imaginary part',
    'IMAGINARY': 'an imaginary part',
    'MIP': 'a projection',
    'PROJECTION IMAGE': 'a projection',
    'T1 MAP': 'a map, not an image',
    'T2 MAP': 'a map, not an image',
}
_REFORMATTED = {'MPR', 'REFORMATTED', 'RESAMPLED'}

_WORDS = {
    'loc|localizer|scout|survey|aahead[a-z0-9]*|calib[a-z]*|asset|3[- ]?plane': 'a localizer',
    't2[a-z0-9]*|flair|stir|swi|pd|bold|dwi|dti|adc|ep2d|fmri|asl|field[-_ ]?map|b[01][-_ ]?map': (
        'another contrast'
    ),
    'tof|mra|angio[a-z]*|mip': 'an angiography',
    'inv[12]': 'one inversion of an MP2RAGE, whose uniform image (UNI) is the T1w',
}
_PATIENT = ('PatientID', 'PatientName', 'PatientBirthDate')
_CONTRAST_AGENT = r'gd|gado\w*|km|mdc|ce|post|contrast|kontrast\w*|c\+'


@dataclass(frozen=True)
class Series:
    """One converted image.

    Parameters
    ----------
    name : str
        Number of the series, with a suffix if it gave several images: what ``--series`` takes.
    path : Path
        The converted image.
    shape : tuple of int
        Numbers of voxels; a fourth number is that of volumes.
    voxel_mm : tuple of float
        Edges of a voxel.
    facts : mapping
        The sidecar of dcm2niix.
    broken : str
        Why the image cannot be used at all; '' if it can.
    """

    name: str
    path: Path
    shape: tuple[int, ...]
    voxel_mm: tuple[float, float, float]
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    broken: str = ''

    @property
    def description(self) -> str:
        """What the operator calls it: for the terminal alone, as it may hold a name."""
        text = self.facts.get('SeriesDescription') or self.facts.get('ProtocolName') or ''
        return shown(' '.join(str(text).split()), most=64)

    @property
    def study(self) -> str:
        """Identifier of the examination; '' if the header has none."""
        return str(self.facts.get('StudyInstanceUID', ''))

    @property
    def patient(self) -> tuple[str, ...]:
        """What identifies the patient; compared, and never shown."""
        return tuple(
            str(self.facts.get(name, ''))
            for name in ('PatientID', 'PatientName', 'PatientBirthDate')
        )

    @property
    def grid(self) -> str:
        """Voxels and their size, in words."""
        voxels = ' x '.join(map(str, self.shape))
        return f'{voxels} of {" x ".join(f"{edge:.3g}" for edge in self.voxel_mm)} mm'

    @property
    def slices(self) -> int:
        """Number of slices, taken to be the smallest of the three numbers of voxels."""
        return min(self.shape[:3])


@dataclass(frozen=True)
class Choice:
    """The series that is the T1w, and what was found of all.

    Parameters
    ----------
    series : Series
        The chosen one.
    reasons : dict
        Name of every series to what was found, in the order of their numbers.
    """

    series: Series
    reasons: dict[str, str]


def choose(found: Sequence[Series], wanted: str | None = None, *, by_rule: bool = True) -> Choice:
    """Choose the T1w series.

    Parameters
    ----------
    found : sequence of Series
        All of an examination.
    wanted : str, optional
        The name of one, which is then taken whatever it is.
    by_rule : bool
        Whether a T1w of the whole head is needed; another kind of image must be asked for.

    Raises
    ------
    IntakeError
        If they are of several patients, none is a T1w by the rules, several are equally good,
        there is none of that name, or its slices do not make up a volume. The message lists all
        with the reasons.
    """
    if len({series.patient for series in found if any(series.patient)}) > 1:
        # Numbers of series are alike in all patients, and names of patients are not shown.
        raise IntakeError(
            'these are series of several patients, among whom --series does not choose; give the '
            f'folder of one patient\n{_list(found, {series.name: "" for series in found})}'
        )
    if wanted is None and not by_rule and len(found) > 1:
        raise IntakeError(
            'this protocol does not use a T1w of the whole head, for which alone there are rules; '
            f'choose a series with --series\n{_list(found, {series.name: "" for series in found})}'
        )
    against = {series.name: '; '.join(_against(series)) for series in found}
    notes = {s.name: ', '.join(_doubts(s)) or 'a T1w of the whole head' for s in found}
    reasons = {name: why or notes[name] for name, why in against.items()}
    if wanted is not None:
        chosen = next((series for series in found if series.name == wanted), None)
        if chosen is None:
            raise IntakeError(f'{_no_such(wanted, found)}\n{_list(found, reasons)}')
        if chosen.broken:
            raise IntakeError(
                f'series {wanted} cannot be used, as its slices do not make up a volume '
                f'({chosen.broken}); export all its files again, and nothing else with them'
            )
        return Choice(chosen, {**reasons, wanted: 'asked for'})
    fit = sorted((s for s in found if not against[s.name]), key=_rank)
    if not fit:
        raise IntakeError(
            'no series is a T1w of the whole head by what its header says; if one is, choose it '
            f'with --series\n{_list(found, against)}'
        )
    best = [s for s in fit if _rank(s) == _rank(fit[0]) or s.study != fit[0].study]
    if len(best) > 1:
        raise IntakeError(
            f'{len(best)} series are equally good, or of several examinations; choose one, for '
            f'instance with --series {best[0].name}\n{_list(found, reasons)}'
        )
    chosen = best[0]
    return Choice(chosen, {**reasons, chosen.name: _praise(chosen, len(fit) == 1)})


def _no_such(wanted: str, found: Sequence[Series]) -> str:
    """Say that no series has a name, or which have its number."""
    alike = [s.name for s in found if re.match(rf'{re.escape(wanted)}[-_]', s.name)]
    if not alike:
        return f'--series: no {shown(wanted)} here'
    return (
        f'--series: {shown(wanted)} is the number of {len(alike)} images; give one in full, as '
        f'listed: {", ".join(alike)}'
    )


def _praise(chosen: Series, alone: bool) -> str:
    """Say why a series is chosen, and what is to be looked at all the same."""
    doubts = _doubts(chosen)
    unknown = [
        f'whether {doubt.removeprefix(_UNKNOWN)}' for doubt in doubts if doubt.startswith(_UNKNOWN)
    ]
    known = [doubt for doubt in doubts if not doubt.startswith(_UNKNOWN)]
    return '; '.join(
        [
            f'chosen: the {"only" if alone else "best"} T1w of the whole head',
            *([f'although {", ".join(known)}'] if known else []),
            *([f'not known: {", ".join(unknown)}'] if unknown else []),
        ]
    )


def _against(series: Series) -> Iterator[str]:
    """Say why a series cannot be a T1w of the whole head."""
    facts = series.facts
    if series.broken:
        yield f'slices that do not make up a volume ({series.broken})'
    if facts.get('Modality', 'MR') != 'MR':
        yield f'{shown(facts["Modality"], most=16)}, not MR'
    if len(series.shape) > 3 and series.shape[3] > 1:
        yield f'{series.shape[3]} volumes, not one'
    yield from dict.fromkeys(
        _OTHER_KINDS[code] for code in codes(facts, 'ImageType') if code in _OTHER_KINDS
    )
    yield from _against_grid(series)
    yield from _against_sequence(facts)
    yield from (what for words, what in _WORDS.items() if _says(series, words))


def _against_grid(series: Series) -> Iterator[str]:
    views = [n * edge for n, edge in zip(series.shape, series.voxel_mm, strict=False)]
    if min(series.shape[:3]) < 2 or min(views) < SMALLEST_VIEW_MM:
        yield f'shows {min(views):.0f} mm along one axis, not a whole head'
    if max(series.voxel_mm) > LARGEST_VOXEL_MM:
        yield f'slices of {max(series.voxel_mm):.3g} mm'


def _against_sequence(facts: Mapping[str, Any]) -> Iterator[str]:
    sequence = codes(facts, 'ScanningSequence')
    if facts.get('MRAcquisitionType') == '2D':
        yield '2D, not 3D'
    if 'EP' in sequence:
        yield 'echo planar'
    elif sequence and 'GR' not in sequence:
        yield 'a spin echo, not a gradient echo'
    echo = facts.get('EchoTime')
    if isinstance(echo, (int, float)) and echo > LONGEST_ECHO_S:
        yield f'echo time {1000 * echo:.0f} ms'
    flip = facts.get('FlipAngle')
    if isinstance(flip, (int, float)) and flip < SMALLEST_FLIP and not _is_prepared(facts):
        yield f'flip angle {flip:g} degrees without inversion'


def _is_prepared(facts: Mapping[str, Any]) -> bool:
    return (
        'IR' in codes(facts, 'ScanningSequence')
        or 'MP' in codes(facts, 'SequenceVariant')
        or bool(facts.get('InversionTime'))
    )


def _says(series: Series, words: str) -> bool:
    return (
        re.search(rf'(?<![a-z0-9])(?:{words})(?![a-z0-9])', series.description.lower()) is not None
    )


def _is_reformatted(series: Series) -> bool:
    return bool(_REFORMATTED & {*codes(series.facts, 'ImageType')})


def _is_derived(series: Series) -> bool:
    return 'DERIVED' in codes(series.facts, 'ImageType')


def _is_perhaps_2d(series: Series) -> bool:
    return 'MRAcquisitionType' not in series.facts


def _is_perhaps_no_gradient_echo(series: Series) -> bool:
    return 'GR' not in codes(series.facts, 'ScanningSequence')


def _has_contrast_agent(series: Series) -> bool:
    return _says(series, _CONTRAST_AGENT)


def _is_one_of_several(series: Series) -> bool:
    # Echoes and the like: dcm2niix adds a letter alone where two series have the same number.
    return '_' in series.name


_UNKNOWN = 'not known to be '

#: What makes a series the worse of two, the most important first.
_DOUBTS: dict[str, Callable[[Series], bool]] = {
    'reformatted': _is_reformatted,
    'derived': _is_derived,
    f'{_UNKNOWN}3D': _is_perhaps_2d,
    f'{_UNKNOWN}a gradient echo': _is_perhaps_no_gradient_echo,
    'after contrast agent by its name': _has_contrast_agent,
    'one of several images of its series': _is_one_of_several,
}


def _doubts(series: Series) -> list[str]:
    return [doubt for doubt, applies in _DOUBTS.items() if applies(series)]


def _rank(series: Series) -> tuple[Any, ...]:
    """Order of two series: by doubts, slices, voxels, and the scanner's intensity correction."""
    volume = series.voxel_mm[0] * series.voxel_mm[1] * series.voxel_mm[2]
    return (
        tuple(applies(series) for applies in _DOUBTS.values()),
        -series.slices,
        round(volume, 2),
        'NORM' not in codes(series.facts, 'ImageType'),
    )


def _list(found: Sequence[Series], reasons: Mapping[str, str]) -> str:
    rows = [
        f'  {series.name} ({series.description}), {series.grid}: {reasons[series.name]}'.rstrip(
            ': '
        )
        for series in found
    ]
    return '\n'.join(rows)
