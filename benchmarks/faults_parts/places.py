"""Where a run may not write, or reaches nobody."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from faults_parts.runs import CHECKOUT, CNN, Seen, Site, outputs

NOBODY = ('runuser', '-u', 'nobody', '--')


def other_user() -> list[str] | None:
    """Command that starts another as a user without rights; None if that is impossible here."""
    if shutil.which('runuser') is None:
        return None
    try_it = [*NOBODY, sys.executable, '-c', 'import tmsprep']
    tried = subprocess.run(try_it, capture_output=True, cwd=CHECKOUT, check=False)
    return list(NOBODY) if tried.returncode == 0 else None


def take_away(site: Site) -> Iterator[Seen]:
    """Take away the home folder and the network."""
    before = other_user()
    place = site.folder / 'homeless'
    place.mkdir()
    place.chmod(0o777)
    closed = place / 'home'
    closed.mkdir(mode=0o555)
    for home, what in ((closed, 'a read-only home'), (Path('/nonexistent'), 'no home')):
        who = 'root' if before is None else 'a user who is not root'
        out = place / f'out_{home.name}'
        environment = {'HOME': str(home), 'XDG_CACHE_HOME': '', 'XDG_CONFIG_HOME': ''}
        ended = site.start(
            *(site.bids, out, place / f'work_{home.name}'),
            [*CNN[:-1], '2'],
            before=before or (),
            environment=environment,
        ).end()
        inside = [path.name for path in closed.iterdir()]
        yield Seen(
            'Home',
            f'{what}, as {who}',
            f'exit code {ended.code}, {len(outputs(out))} files; '
            f'{len(inside) or "nothing"} written to the home directory',
            ended.code == 0 and not inside,
        )
    yield _without_network(site)


def _without_network(site: Site) -> Seen:
    before = ['unshare', '-n']
    if subprocess.run([*before, 'true'], capture_output=True, check=False).returncode != 0:
        return Seen('Network', 'not done: no right to `unshare -n`', '', True)
    out = site.folder / 'offline'
    ended = site.start(site.bids, out, site.folder / 'offline_work', before=before).end()
    return Seen(
        'Network',
        'no network device but an unconnected loopback (`unshare -n`)',
        f'exit code {ended.code}, {len(outputs(out))} files, {ended.seconds:.0f} s',
        ended.code == 0,
    )


def look_at_temporary(site: Site) -> Iterator[Seen]:
    """Tell what all runs before left in TMPDIR; comes last."""
    found = sorted(str(p.relative_to(site.temporary)) for p in site.temporary.rglob('*'))
    yield Seen(
        'TMPDIR',
        'the temporary directory of all runs of this page, including killed ones',
        f'{", ".join(found[:5])} ({len(found)} in all) left' if found else 'empty',
        not found,
    )
