"""The bytes of a NIfTI file, read once and checked against its header and checksums."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from tmsprep.imaging.scanner_frame import ImageError
from tmsprep.running.machine import MORE_MEMORY, available_memory_gb

#: Largest number of voxels of a file, masks and series included. The finest whole heads that are
#: published (7 T, 0.25 mm, 880 x 880 x 640) have half of it.
MAX_VOXELS = 2**30

#: Share of the memory of this process that reading one image may take; other steps and the
#: conformed volume need the rest.
MAX_MEMORY_SHARE = 0.5

#: gzip packs at most so many bytes into one (a property of its format, deflate).
MAX_PACKED = 1032

#: What to do about a file that is not as its writer left it.
AGAIN = 'Convert the DICOM files again (dcm2niix), or copy the file again from its source.'

_COARSER = 'If it is a head, resample it to 1 mm (e.g. flirt -applyisoxfm 1)'

#: Bytes that are read, and unpacked, at a time.
_PIECE = 2**16

_UNREADABLE = (
    OSError,
    EOFError,
    OverflowError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
)

logger = logging.getLogger(__name__)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged file into an `ImageError` that names it."""
    try:
        yield
    except ImageError:
        raise
    except nib.spatialimages.HeaderDataError as error:
        raise ImageError(f'{path}: the header is broken ({error}). {AGAIN}') from error
    except MemoryError as error:
        raise ImageError(f'{path}: out of memory while reading it; {MORE_MEMORY}.') from error
    except _UNREADABLE as error:
        raise ImageError(f'{path}: cut short or damaged ({error}). {AGAIN}') from error


def require_memory(needed: float, path: Path, what: str) -> None:
    """Refuse an image that takes more memory than one image may.

    Parameters
    ----------
    needed : float
        Bytes.
    path : Path
        The image, for the message.
    what : str
        What takes so much.

    Raises
    ------
    ImageError
        If it is more than `MAX_MEMORY_SHARE` of the memory of this process.
    """
    allowed = MAX_MEMORY_SHARE * available_memory_gb() * 1e9
    if needed > allowed:
        raise ImageError(
            f'{path}: too large: {what} takes {needed / 1e9:.1f} GB of memory, and one image may '
            f'take {allowed / 1e9:.1f} GB. {_COARSER}, or give the job more memory.'
        )


@contextmanager
def open_nifti(path: Path) -> Iterator[NiftiFile]:
    """Open a NIfTI file and read its header.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Raises
    ------
    ImageError
        If the file is missing, not NIfTI, or promises more than it can hold or than fits into
        memory. The message names the file and the cure.
    """
    check_file(path)
    with named_errors(path), path.open('rb') as file:
        yield NiftiFile(path, file)


class NiftiFile:
    """An open NIfTI file, read once from its first to its last byte.

    A file may be replaced while a participant is worked on. Whoever reads it twice, for its voxels
    and for its checksum, or for its header and for its voxels, may then join parts of two images.
    So all that is said about an image comes from one pass over its bytes, and the checksum is that
    of these bytes, not of what lies under the name later.

    Nothing is read or unpacked that the header does not announce, and nothing is announced that
    the file cannot hold: a file of 16 kB is not 20 GB of voxels, whatever its header says.

    Parameters
    ----------
    path : Path
        Its name, for messages.
    file : file
        The file, open at its first byte.

    Attributes
    ----------
    header : nibabel.Nifti1Header
        As in the file, except that dimensions of 0 beyond the third are 1.

    Raises
    ------
    ImageError
        As `open_nifti`.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._state = os.fstat(file.fileno())
        self._digest = hashlib.sha256()
        self._content = io.BytesIO()
        self._pieces = self._unpacked() if path.suffix == '.gz' else self._blocks()
        self._read_until(nib.Nifti2Header.sizeof_hdr)
        self.header = self._read_header()
        self._check_promise()

    def read(self) -> tuple[ArrayProxy, str]:
        """Read the rest of the file.

        Returns
        -------
        voxels : nibabel.arrayproxy.ArrayProxy
            Reads from memory; scaled as the header says.
        sha256 : str
            Of the file, hexadecimal.

        Raises
        ------
        ImageError
            If the file is cut short, has bytes beyond its last voxel, does not have the checksum
            or length that gzip wrote at its end, or changes while it is read.
        """
        declared, offset = self._offsets()
        expected = offset + self._size()
        # One byte more, so that the end of the file is reached, where gzip has its checksum.
        self._read_until(expected + 1)
        found = self._content.tell()
        if found != expected:
            raise ImageError(f'{self._path}: {self._wrong_length(found, expected)} {AGAIN}')
        self._check_unchanged()
        if declared < offset:
            logger.warning(
                '%s: by its header the voxels begin at byte %d, inside the header; by the length '
                'of the file they begin at %d, where they are read.',
                self._path,
                declared,
                offset,
            )
        self.header['vox_offset'] = offset
        return ArrayProxy(self._content, self.header, mmap=False), self._digest.hexdigest()

    def stored(self) -> np.ndarray:
        """Return the voxels after `read` as the file stores them, without slope; not a copy."""
        shape, dtype = self.header.get_data_shape(), self.header.get_data_dtype()
        offset = self.header.get_data_offset()
        flat = np.frombuffer(self._content.getbuffer(), dtype, math.prod(shape), offset)
        return flat.reshape(shape, order='F')

    def _blocks(self) -> Iterator[bytes]:
        while block := self._file.read(_PIECE):
            self._digest.update(block)
            yield block

    def _unpacked(self) -> Iterator[bytes]:
        """Unpack piece by piece; zlib compares checksum and length at the end of each member."""
        member = zlib.decompressobj(wbits=31)
        for block in self._blocks():
            while block:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(block, _PIECE)
                block = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof:
            piece = member.decompress(b'', _PIECE)
            if not piece:
                raise EOFError('gzip: the compressed data end too early')
            yield piece

    def _read_until(self, length: int) -> None:
        """Read until there are so many bytes, or the file ends."""
        while self._content.tell() < length:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._content.write(piece)

    def _read_header(self) -> nib.Nifti1Header:
        """Return the header as it is in the file: nibabel would refuse or repair some of them."""
        block = self._content.getvalue()[: nib.Nifti2Header.sizeof_hdr]
        for kind in (nib.Nifti1Header, nib.Nifti2Header):
            if kind.may_contain_header(block):
                header = kind(block[: kind.sizeof_hdr], check=False)
                _mend_dimensions(header, self._path)
                return header
        raise ImageError(f'{self._path}: not a NIfTI image. {AGAIN}')

    def _check_promise(self) -> None:
        """Compare what the header announces with the size of the file and with the memory."""
        header, path, size = self.header, self._path, self._state.st_size
        shape = header.get_data_shape()
        if min(shape, default=0) < 1:
            raise ImageError(f'{path}: the header is broken (dimensions {shape}). {AGAIN}')
        voxels, promised = math.prod(shape), self._offsets()[1] + self._size()
        most = size * MAX_PACKED if path.suffix == '.gz' else size
        if promised > most:
            raise ImageError(
                f'{path}: cut short, or the header is broken: it announces {promised:,} bytes '
                f'(shape {shape}), and the file of {size:,} bytes cannot hold them. {AGAIN}'
            )
        if voxels > MAX_VOXELS:
            raise ImageError(
                f'{path}: {voxels:,} voxels (shape {shape}), more than the {MAX_VOXELS:,} that '
                f'are read. {_COARSER}.'
            )
        # The voxels as stored, their copy in another layout, and as float32.
        require_memory(2 * promised + 4 * voxels, path, f'reading it (shape {shape})')

    def _offsets(self) -> tuple[int, int]:
        """Return the first byte of the voxels by the header, and the one that is read.

        Behind the header there is room for them only from byte 352 (544 in NIfTI-2) on.
        """
        value = float(self.header['vox_offset'])
        if not value.is_integer():
            raise ImageError(f'{self._path}: the header is broken (vox_offset {value}). {AGAIN}')
        return int(value), max(int(value), self.header.single_vox_offset)

    def _size(self) -> int:
        """Bytes of all voxels."""
        try:
            dtype = self.header.get_data_dtype()
        except KeyError as error:
            raise ImageError(
                f'{self._path}: the header is broken (unknown datatype {error}). {AGAIN}'
            ) from error
        if not dtype.itemsize:
            raise ImageError(f'{self._path}: the header is broken (no datatype). {AGAIN}')
        return math.prod(self.header.get_data_shape()) * dtype.itemsize

    def _wrong_length(self, found: int, expected: int) -> str:
        if found < expected:
            return f'cut short: {found:,} of {expected:,} bytes are there.'
        # What is behind the last voxel of a compressed file is not unpacked.
        more = f'{self._state.st_size - expected:,} bytes more'
        beyond = 'more bytes' if self._path.suffix == '.gz' else more
        return (
            f'{beyond} than its header announces (shape {self.header.get_data_shape()}), so '
            'either the header or the end of the file is wrong.'
        )

    def _check_unchanged(self) -> None:
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._state.st_size, self._state.st_mtime_ns):
            raise ImageError(
                f'{self._path}: the file was written to while it was read. Start again when '
                'copying has ended.'
            )


def _mend_dimensions(header: nib.Nifti1Header, path: Path) -> None:
    """Make dimensions of 0 beyond the third 1, which is what programs mean that write them."""
    count = min(int(header['dim'][0]), 7)
    empty = [i for i in range(4, count + 1) if header['dim'][i] == 0]
    for i in empty:
        header['dim'][i] = 1
    if empty:
        logger.warning('%s: dim[%d] in the header is 0; read as 1.', path, empty[0])


def check_file(path: Path) -> None:
    """Refuse a path without a file, and a file whose first bytes contradict its name.

    Raises
    ------
    ImageError
        If it is not a regular file of bytes that `open_nifti` could read.
    """
    if path.is_symlink() and not path.exists():
        goal = str(path.readlink())
        if '.git/annex' not in goal:
            raise ImageError(
                f'{path}: a link that leads nowhere: {goal} is missing, or a link to itself. '
                'Copy the file there, or correct the link.'
            )
        raise ImageError(
            f'{path}: a link that leads nowhere; its content has not been fetched. Run: '
            f'datalad get {path.name} (or git annex get) in {path.parent}.'
        )
    if not path.exists():
        raise ImageError(f'{path}: no such file. Check the name, or index the data set again.')
    if not path.is_file():
        raise ImageError(f'{path}: not a file. Give one .nii.gz file.')
    try:
        with path.open('rb') as file:
            start = file.read(352)
    except OSError as error:
        raise ImageError(f'{path}: cannot be read ({error}). Check its permissions.') from error
    if not start:
        raise ImageError(f'{path}: the file is empty (0 bytes). {AGAIN}')
    if start.startswith((b'/annex/', b'../.git/annex', b'.git/annex')):
        raise ImageError(
            f'{path}: a pointer of git-annex; its content has not been fetched. Run: datalad get '
            f'{path.name} in {path.parent}.'
        )
    zipped = start[:2] == b'\x1f\x8b'
    if zipped != (path.suffix == '.gz'):
        raise ImageError(f'{path}: {_misnamed(start)}')


def _misnamed(start: bytes) -> str:
    """Describe a file whose first bytes contradict its name."""
    if start[:2] == b'\x1f\x8b':
        return 'compressed, but not named .nii.gz. Rename it, or decompress it (gunzip).'
    if start[344:347] in (b'n+1', b'n+2') or start[4:7] == b'n+2':
        return 'a NIfTI file that is not compressed. Rename it to .nii, or compress it (gzip).'
    if all(byte in b'\t\n\r\f' or byte >= 32 for byte in start) and start.isascii():
        return f'a text file, not an image. {AGAIN}'
    return f'not compressed by gzip, whatever its name says. {AGAIN}'
