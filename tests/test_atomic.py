from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.atomic import DiskFull, atomic_path, remove_partials, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'folder' / 'mask.nii.gz'
    with atomic_path(path) as partial:
        assert partial.parent == path.parent
        assert partial.name.startswith('.')
        assert partial.name.endswith('.mask.nii.gz')
        partial.write_bytes(b'12')
        assert not path.exists()
    assert names(path.parent) == ['mask.nii.gz']
    assert path.read_bytes() == b'12'


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def write_half() -> None:
        with atomic_path(path) as partial:
            partial.write_text('ne')
            raise RuntimeError('disk full')

    with pytest.raises(RuntimeError, match='disk full'):
        write_half()
    assert names(tmp_path) == ['a.txt']
    assert path.read_text() == 'old'


def test_two_writers(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    with atomic_path(path) as one, atomic_path(path) as other:
        one.write_text('one')
        other.write_text('other')
        assert one != other
    assert names(tmp_path) == ['a.txt']
    assert path.read_text() == 'one'


def test_nothing_written(tmp_path: Path) -> None:
    def write_nothing() -> None:
        with atomic_path(tmp_path / 'a.txt'):
            pass

    with pytest.raises(FileNotFoundError):
        write_nothing()
    assert names(tmp_path) == []


def test_text_is_utf8(tmp_path: Path) -> None:
    path = write_text(tmp_path / 'a.txt', 'Hirnlappen Ä\n')
    assert path.read_bytes() == 'Hirnlappen Ä\n'.encode()


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='this system has no /dev/full')
def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'

    def write_to_a_full_disk() -> None:
        with atomic_path(path) as partial:
            partial.symlink_to('/dev/full')
            partial.write_text('much')

    with pytest.raises(DiskFull) as full:
        write_to_a_full_disk()
    assert str(full.value).startswith(f'{tmp_path}: the disk is full, so that a.txt could not')
    assert 'free space there' in str(full.value)
    assert names(tmp_path) == []


def test_remove_partials(tmp_path: Path) -> None:
    left = [tmp_path / '.0123abcd.sub-01.html', tmp_path / 'sub-01' / '.89abcdef.mask.nii.gz']
    kept = [tmp_path / '.bidsignore', tmp_path / 'sub-01' / '.nfs0001', tmp_path / 'a.0123abcd.b']
    for path in (*left, *kept):
        write_text(path, 'half')
    assert remove_partials(tmp_path, 'sub-02') == []
    assert remove_partials(tmp_path, 'sub-01') == left[:1]
    assert remove_partials(tmp_path, below=True) == left[1:]
    assert all(path.is_file() for path in kept)
    assert remove_partials(tmp_path / 'not_there', below=True) == []
