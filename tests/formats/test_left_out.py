from __future__ import annotations

from dataclasses import replace

from formats.marker_data import GOOD, MISSING, WARNED, grid

from tmsprep.formats.left_out import MOST_IN_LINE, LeftOut, in_one_line
from tmsprep.formats.navigators import plan_files

CUT = (
    'the surface lies 13 mm inside of where the scalp of a head of this size is: the image is '
    'defaced or cut here'
)
LOFC = replace(WARNED, label='LOFC', no_entry=CUT)
ROFC = replace(GOOD, label='ROFC', pose=None)
LOCALITE = 'Localite TMS Navigator, '


def left_out(*markers):
    plan = plan_files(markers, grid(1, 1))
    return [planned for planned in plan if isinstance(planned, LeftOut)]


def test_reason_of_its_own_target() -> None:
    """One head is cut over one target; the other one lacks the direction of the handle alone."""
    handle = 'the direction of the coil handle is not known'
    for others in ((GOOD, MISSING), ()):
        assert {left.what: left.reason for left in left_out(LOFC, ROFC, *others)} == {
            f'LOFC in {LOCALITE}InstrumentMarker': f'no pose of the coil is known ({CUT})',
            f'ROFC in {LOCALITE}InstrumentMarker': handle,
            f'LOFC in {LOCALITE}EntryTarget': f'no entry on the scalp is known ({CUT})',
            'LOFC in ANT visor2': f'no pose of the coil is known ({CUT})',
            'ROFC in ANT visor2': handle,
        }


def test_reason_of_all_targets() -> None:
    stripped = [replace(LOFC, label=f'T{number}') for number in range(3)]
    assert [left.what for left in left_out(*stripped, MISSING)] == [
        f'{LOCALITE}InstrumentMarker',
        f'{LOCALITE}EntryTarget',
        'ANT visor2',
    ]


def test_no_point() -> None:
    assert {left.reason for left in left_out(MISSING)} == {'there is no point that may be used'}


def test_one_line() -> None:
    """A reason is said once, whatever number of systems it holds for."""
    assert in_one_line(left_out(LOFC, ROFC, GOOD)) == (
        'LOFC in Localite TMS Navigator, InstrumentMarker + Localite TMS Navigator, EntryTarget + '
        'ANT visor2 (the surface lies 13 mm inside of where the scalp of a ...); '
        'ROFC in Localite TMS Navigator, InstrumentMarker + ANT visor2 (the direction of the coil '
        'handle is not known)'
    )


def test_bounded_line() -> None:
    """Eleven targets with as many reasons."""
    cut = [
        replace(LOFC, label=f'T{number}', no_entry=f'{number} mm inside, {CUT}')
        for number in range(11)
    ]
    line = in_one_line(left_out(*cut, GOOD))
    assert len(line) <= MOST_IN_LINE
    assert line.startswith('T0 in Localite')
    assert line.endswith('; and 10 more reasons')
    assert in_one_line([]) == ''
