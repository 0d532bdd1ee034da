"""Participants whose image cannot be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from faults_parts.places import other_user
from faults_parts.runs import Seen, Site, outputs

FAULT = 'Unreadable image'
IMAGE = 'sub-{0}/anat/sub-{0}_T1w.nii.gz'


def break_people(site: Site) -> Iterator[Seen]:
    """Damage the images of three of four participants, and run on all."""
    bids = _copy(site, 'broken', ('cut', 'folder', 'link', 'whole'))
    cut = bids / IMAGE.format('cut')
    cut.write_bytes(cut.read_bytes()[:20_000])
    folder, link = bids / IMAGE.format('folder'), bids / IMAGE.format('link')
    folder.unlink()
    folder.mkdir()
    link.unlink()
    link.symlink_to('../../nowhere.nii.gz')
    out = site.folder / 'broken_out'
    ended = site.start(bids, out, site.folder / 'broken_work').end()
    for label, what in (
        ('cut', 'a truncated file'),
        ('folder', 'a directory in place of the image'),
        ('link', 'a broken link'),
    ):
        told = [line for line in ended.lines if f'sub-{label} failed' in line]
        message = told[-1].split('failed: ', 1)[-1] if told else 'NOTHING was said'
        yield Seen(FAULT, what, _short(message, bids), len(told) == 1 and ended.code == 1)
    whole = any(name.startswith('sub-whole/') for name in outputs(out))
    yield Seen(
        FAULT,
        'the fourth participant of that run',
        f'{"finished" if whole else "NOT finished"}; the run: exit code {ended.code}',
        whole,
    )
    yield _forbidden(site)


def _forbidden(site: Site) -> Seen:
    what = 'an image without read permission (`chmod 000`), as a user who is not root'
    before = other_user()
    if before is None:
        return Seen(FAULT, f'not done here: {what}', '', True)
    bids = _copy(site, 'forbidden', ('closed', 'whole'))
    (bids / IMAGE.format('closed')).chmod(0)
    place = site.folder / 'forbidden_place'
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    ended = site.start(bids, place / 'out', place / 'work', before=before).end()
    told = [line for line in ended.lines if 'sub-closed failed' in line]
    message = told[-1].split('failed: ', 1)[-1] if told else 'NOTHING was said'
    good = bool(told) and ended.code == 1 and any(place.rglob('sub-whole_*desc-cnn_targets.tsv'))
    return Seen(FAULT, what, _short(message, bids), good)


def _copy(site: Site, name: str, labels: tuple[str, ...]) -> Path:
    """Give one phantom several names."""
    bids = site.folder / name
    (source,) = site.bids.glob('sub-*/anat/*_T1w.nii.gz')
    for label in labels:
        path = bids / IMAGE.format(label)
        path.parent.mkdir(parents=True)
        shutil.copyfile(source, path)
    shutil.copyfile(site.bids / 'dataset_description.json', bids / 'dataset_description.json')
    return bids


def _short(message: str, bids: Path) -> str:
    return message.replace(f'{bids}/', '')
