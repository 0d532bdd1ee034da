from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tmsprep.files import (
    SEAL,
    broken_seal,
    check_private,
    make_private,
    private_folder,
    remove_inside,
    seal,
)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / 'sealed'
    (folder / 'below').mkdir(parents=True)
    (folder / 'a.json').write_text('{"x": 1}')
    (folder / 'below' / 'b.h5').write_bytes(bytes(range(256)))
    (folder / 'empty').touch()
    seal(folder)
    return folder


def change(path: Path, content: bytes) -> None:
    """Change a file and keep its times, as a bad disk does."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    change(path, bytes(content))


DAMAGE: dict[str, Callable[[Path], object]] = {
    'cut': lambda path: change(path, path.read_bytes()[:-1]),
    'zeros': lambda path: change(path, bytes(path.stat().st_size)),
    'gone': Path.unlink,
    'flip': flip,
    'longer': lambda path: change(path, path.read_bytes() + b' x'),
}


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('name', ['a.json', 'below/b.h5', SEAL])
def test_broken_seal(sealed: Path, name: str, damage: str) -> None:
    assert broken_seal(sealed) == ''
    DAMAGE[damage](sealed / name)
    assert broken_seal(sealed) != ''


def test_every_bit_of_seal(sealed: Path) -> None:
    path = sealed / SEAL
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (1, 4, 64, 128):
            path.write_bytes(
                content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :]
            )
            # Blanks between the entries say nothing.
            assert broken_seal(sealed) or content[position : position + 1].isspace()


def test_file_more(sealed: Path) -> None:
    (sealed / 'new').touch()
    assert broken_seal(sealed) == 'new is missing or damaged'


@pytest.mark.parametrize('content', ['null', '[]', '3', '{"a.json": [1]}', '[' * 100_000])
def test_odd_seal(sealed: Path, content: str) -> None:
    (sealed / SEAL).write_text(content)
    assert 'damaged' in broken_seal(sealed)


def test_no_seal(tmp_path: Path) -> None:
    assert broken_seal(tmp_path / 'none') == broken_seal(tmp_path) == 'not finished'


def test_remove_inside(tmp_path: Path) -> None:
    work, victim = tmp_path / 'work', tmp_path / 'victim'
    for folder in (work / 'a' / 'b', victim / 'keep'):
        folder.mkdir(parents=True)
    (work / 'link').symlink_to(victim)
    for outside in (work / '..' / 'victim', work / 'link' / 'keep', work / 'link', work, victim):
        with pytest.raises(ValueError, match='not inside'):
            remove_inside(outside, work)
    assert (victim / 'keep').is_dir()
    remove_inside(work / 'a', work)
    remove_inside(work / 'a', work)
    assert not (work / 'a').exists()


def test_private_folder(tmp_path: Path) -> None:
    work = tmp_path / 'work'
    folder = make_private(work)
    assert folder == work / f'tmsprep-{os.getuid()}' == make_private(work)
    assert folder.stat().st_mode & 0o777 == 0o700
    # The settings that a run writes name the folder itself, perhaps that of another user.
    assert private_folder(folder) == private_folder(work / 'tmsprep-99999') == folder


@pytest.mark.parametrize('mode', [0o770, 0o722, 0o777, 0o705])
def test_open_private_folder(tmp_path: Path, mode: int) -> None:
    make_private(tmp_path).chmod(mode)
    with pytest.raises(ValueError, match=r'open to other users.*chmod 700'):
        check_private(tmp_path)
    with pytest.raises(ValueError, match='open to other users'):
        make_private(tmp_path)


def test_planted_link(tmp_path: Path) -> None:
    (tmp_path / 'theirs').mkdir(mode=0o700)
    private_folder(tmp_path).symlink_to(tmp_path / 'theirs')
    with pytest.raises(ValueError, match='not a folder; delete it'):
        check_private(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason='only root can give a folder away')
def test_folder_of_another_user(tmp_path: Path) -> None:
    os.chown(make_private(tmp_path), 12345, 12345)
    with pytest.raises(ValueError, match='belongs to user 12345'):
        check_private(tmp_path)


@pytest.mark.parametrize(
    ('mode', 'refused'),
    # As umask 022 and 002 make it, a project's, /tmp, and one that everybody may write to.
    [(0o755, False), (0o775, False), (0o2770, False), (0o1777, False), (0o777, True)],
)
def test_folder_around(tmp_path: Path, mode: int, refused: bool) -> None:
    tmp_path.chmod(mode)
    if refused:
        with pytest.raises(ValueError, match='chmod o-w'):
            check_private(tmp_path)
    else:
        make_private(tmp_path)
