from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tmsprep.intake import IntakeError
from tmsprep.intake.dicom import tell_apart
from tmsprep.intake.metadata import allowed
from tmsprep.intake.series import Series, choose

#: As dcm2niix writes the fields of DICOM, s and degrees.
MPRAGE = {
    'Modality': 'MR',
    'SeriesDescription': 't1_mprage_sag_p2_iso',
    'MRAcquisitionType': '3D',
    'ScanningSequence': 'GR\\IR',
    'SequenceVariant': 'SK\\SP\\MP',
    'ImageType': ['ORIGINAL', 'PRIMARY', 'M', 'ND', 'NORM'],
    'EchoTime': 0.00298,
    'RepetitionTime': 2.3,
    'InversionTime': 0.9,
    'FlipAngle': 9,
    'PatientID': 'x',
    'StudyInstanceUID': '1.2.3',
}
SPGR = {**MPRAGE, 'ScanningSequence': 'GR', 'SequenceVariant': 'SS\\SP', 'FlipAngle': 12}
del SPGR['InversionTime']


ONLY = 'chosen: the only T1w of the whole head'


def series(
    name: str,
    shape: tuple[int, ...] = (256, 256, 192),
    voxel: tuple[float, float, float] = (1.0, 1.0, 1.0),
    **facts: Any,
) -> Series:
    return Series(name, Path(f'{name}.nii'), shape, voxel, {**MPRAGE, **facts})


@pytest.mark.parametrize(
    ('other', 'reason'),
    [
        ({'Modality': 'CT'}, 'CT, not MR'),
        ({'ImageType': ['ORIGINAL', 'PRIMARY', 'P', 'ND']}, 'a phase image'),
        ({'ImageType': ['DERIVED', 'SECONDARY', 'MIP']}, 'a projection'),
        ({'MRAcquisitionType': '2D'}, '2D, not 3D'),
        ({'ScanningSequence': 'EP'}, 'echo planar'),
        ({'ScanningSequence': 'SE\\IR', 'EchoTime': 0.39}, 'a spin echo, not a gradient echo'),
        ({'EchoTime': 0.02}, 'echo time 20 ms'),
        ({**SPGR, 'InversionTime': 0, 'FlipAngle': 3}, 'flip angle 3 degrees without inversion'),
        ({'SeriesDescription': 'AAHead_Scout'}, 'a localizer'),
        ({'SeriesDescription': 't2_space_sag'}, 'another contrast'),
        ({'SeriesDescription': 'TOF_3D_multi-slab'}, 'an angiography'),
        ({'SeriesDescription': 't1_mp2rage_INV2'}, 'one inversion of an MP2RAGE'),
    ],
)
def test_other_kinds(other: dict[str, Any], reason: str) -> None:
    chosen = choose([series('1', shape=(512, 512, 400), **other), series('2')])
    assert chosen.series.name == '2'
    assert reason in chosen.reasons['1']


@pytest.mark.parametrize(
    ('grid', 'reason'),
    [
        ({'shape': (256, 256, 192, 3)}, '3 volumes, not one'),
        ({'shape': (256, 256, 60)}, 'shows 60 mm along one axis'),
        ({'shape': (256, 256, 40), 'voxel': (1.0, 1.0, 5.0)}, 'slices of 5 mm'),
    ],
)
def test_other_grids(grid: dict[str, Any], reason: str) -> None:
    chosen = choose([series('1', **grid), series('2')])
    assert (chosen.series.name, reason in chosen.reasons['1']) == ('2', True)


@pytest.mark.parametrize(
    ('worse', 'doubt'),
    [
        ({'ImageType': ['DERIVED', 'SECONDARY', 'MPR']}, 'reformatted, derived'),
        ({'SeriesDescription': 't1_mprage_KM'}, 'after contrast agent by its name'),
        ({'SeriesDescription': 't1 mprage post'}, 'after contrast agent by its name'),
        ({'ScanningSequence': ''}, 'not known to be a gradient echo'),
        ({'ImageType': ['ORIGINAL', 'PRIMARY', 'M', 'ND']}, 'a T1w of the whole head'),
        ({'shape': (256, 256, 176)}, 'a T1w of the whole head'),
        ({'voxel': (1.2, 1.0, 1.0)}, 'a T1w of the whole head'),
    ],
)
def test_worse_of_two(worse: dict[str, Any], doubt: str) -> None:
    """More slices do not make up for a doubt; the order of the series does not matter."""
    shape = (512, 512, 300) if doubt != 'a T1w of the whole head' else (256, 256, 192)
    both = [series('1', **{'shape': shape, **worse}), series('2', **SPGR)]
    for found in (both, both[::-1]):
        chosen = choose(found)
        assert (chosen.series.name, chosen.reasons['1']) == ('2', doubt)
    # Better than nothing.
    assert choose(both[:1]).series.name == '1'


@pytest.mark.parametrize('study', ['1.2.3', '1.2.4'])
def test_equal_series(study: str) -> None:
    """Repeated scans are for the user to choose from, and so are those of two days."""
    slices = 192 if study == '1.2.3' else 176
    found = [series('5'), series('9', (256, 256, slices), StudyInstanceUID=study)]
    with pytest.raises(IntakeError) as refused:
        choose(found)
    first, *rows = str(refused.value).splitlines()
    assert '2 series are equally good' in first
    assert '--series 5' in first
    assert rows == [
        f'  {name} (t1_mprage_sag_p2_iso), 256 x 256 x {n} of 1 x 1 x 1 mm: '
        'a T1w of the whole head'
        for name, n in (('5', 192), ('9', slices))
    ]
    assert choose(found, '9').series.name == '9'


@pytest.mark.parametrize('wanted', [None, '5', '6'])
@pytest.mark.parametrize('by_rule', [True, False])
def test_several_patients(wanted: str | None, by_rule: bool) -> None:
    """A number does not choose among patients, whose series have the same numbers as a rule."""
    found = [series('5'), series('6', PatientID='y', shape=(256, 256, 300))]
    with pytest.raises(IntakeError, match='give the folder of one patient'):
        choose(found, wanted, by_rule=by_rule)


def test_one_number_of_several_images() -> None:
    names = {'401b': '401-3', '401': '401-1', '401a': '401-2', '401_ph': '401_ph', '4': '4'}
    found = tell_apart([series(name) for name in names])
    assert {s.path.stem: s.name for s in found} == names
    with pytest.raises(IntakeError, match='401 is the number of 4 images; give one in full, as'):
        choose(found, '401')
    with pytest.raises(IntakeError, match='no 401a here'):
        choose(found, '401a')
    assert choose(found, '401-2').series.path.name == '401a.nii'


@pytest.mark.parametrize(
    ('facts', 'words'),
    [
        ({}, ONLY),
        (
            {'ImageType': ['DERIVED'], 'MRAcquisitionType': None, 'ScanningSequence': ''},
            f'{ONLY}; although derived; not known: whether 3D, whether a gradient echo',
        ),
    ],
)
def test_words_for_the_chosen(facts: dict[str, Any], words: str) -> None:
    known = {name: value for name, value in {**MPRAGE, **facts}.items() if value is not None}
    chosen = Series('1', Path('1.nii'), (256, 256, 192), (1.0, 1.0, 1.0), known)
    assert choose([chosen]).reasons['1'] == words
    assert choose([chosen, series('2', MRAcquisitionType='2D')]).reasons['1'] == words
    better = choose([chosen, series('2', (256, 256, 220))]).reasons['2']
    assert better == 'chosen: the best T1w of the whole head'


def test_nothing_fits() -> None:
    found = [series('1', MRAcquisitionType='2D'), series('2_ph', SeriesDescription='t2')]
    with pytest.raises(IntakeError, match='no series is a T1w') as refused:
        choose(found)
    assert '1 (t1_mprage_sag_p2_iso)' in str(refused.value)
    assert choose(found, '2_ph').reasons['2_ph'] == 'asked for'
    with pytest.raises(IntakeError, match='--series: no 7 here'):
        choose(found, '7')


def test_other_protocols() -> None:
    """Where another image than a T1w of the whole head is used, rules for it would mislead."""
    assert choose([series('1')], by_rule=False).series.name == '1'
    with pytest.raises(IntakeError, match='choose a series with --series'):
        choose([series('1'), series('2', MRAcquisitionType='2D')], by_rule=False)


def test_allow_list() -> None:
    hostile = {
        **MPRAGE,
        'PatientName': 'Musterfrau',
        'PatientBirthDate': '1957-08-31',
        'Manufacturer': 'Musterfrau',
        'ImageType': ['ORIGINAL', 'MUSTERFRAU', 'M'],
        'ScanningSequence': 'GR\\MUSTERFRAU',
        'RepetitionTime': 'Musterfrau',
        'MagneticFieldStrength': 3,
        'ConversionSoftwareVersion': 'v1.0.20260724',
        'AcquisitionTime': '13:25',
    }
    assert allowed(hostile) == {
        'MagneticFieldStrength': 3,
        'EchoTime': 0.00298,
        'InversionTime': 0.9,
        'FlipAngle': 9,
        'Modality': 'MR',
        'MRAcquisitionType': '3D',
        'ScanningSequence': 'GR',
        'SequenceVariant': 'SK\\SP\\MP',
        'ImageType': ['ORIGINAL', 'M'],
        'ConversionSoftwareVersion': 'v1.0.20260724',
    }
