from __future__ import annotations

from pathlib import Path

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.done import Work
from tmsprep.methods import get_method
from tmsprep.protocols import load_protocol

IMAGE = ImageRef.from_path(Path('/data'), Path('/data/sub-01/anat/sub-01_T1w.nii.gz'))


def test_segmentation_tables(tmp_path: Path) -> None:
    protocol = load_protocol('locus-coeruleus')
    options = {'segmentation': ('lpp',)}
    work = Work(Layout(tmp_path, protocol.name), protocol, [get_method('coreunet')], options)
    stem = 'no sub-01_protocol-locuscoeruleus_desc'
    assert list(work.left(IMAGE)) == [
        f'{stem}-coreunet_targets.tsv',
        f'{stem}-lpp_segmentation.tsv',
    ]


def test_one_failed_target(tmp_path: Path) -> None:
    """One target that failed does not make the image a failure; all of them do."""
    protocol = load_protocol('tms')
    work = Work(Layout(tmp_path, 'tms'), protocol, [get_method('cnn')], {})
    table = work.layout.table(IMAGE, 'cnn')
    table.parent.mkdir(parents=True)
    for statuses, found in (
        (['ok', *['failed'] * 10], []),
        (['disagreement', *['wrong_side'] * 10], []),
        (['failed'] * 11, ['11 failed']),
        (['failed', *['outside_image'] * 10], ['1 failed, 10 outside_image']),
    ):
        rows = zip(protocol.labels, statuses, strict=True)
        table.write_text('label\tstatus\n' + ''.join(f'{a}\t{b}\n' for a, b in rows))
        messages = [f'{table.name}: no point may be used ({what})' for what in found]
        assert list(work.left(IMAGE)) == []
        assert list(work.without_points(IMAGE)) == messages


def test_chosen_targets(tmp_path: Path) -> None:
    """A table of other targets than those that are chosen is not done."""
    protocol = load_protocol('tms')
    path = Layout(tmp_path, 'tms').table(IMAGE, 'cnn')
    path.parent.mkdir(parents=True)
    lists = (('LOFC',), ('LOFC', 'ROFC'), protocol.labels)
    for there in lists:
        path.write_text('label\tstatus\n' + ''.join(f'{label}\tok\n' for label in there))
        for chosen in (*lists, ()):
            work = Work(Layout(tmp_path, 'tms'), protocol, [get_method('cnn')], {}, chosen=chosen)
            done = there == (chosen or protocol.labels)
            assert list(work.left(IMAGE)) == ([] if done else [f'{path.name}: of other targets'])
