"""Weights files: safetensors with the metadata from which the network is rebuilt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tmsprep.atomic import atomic_path

if TYPE_CHECKING:
    import torch

_Item = TypeVar('_Item')

#: Largest weights file, bytes, as it is read whole; the shipped ones have 5 MB.
MAX_BYTES = 2 * 10**9

#: Largest header, bytes: ten thousand parameters; those of the shipped ensemble need 48 kB.
MAX_HEADER = 10**6


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and the remedy."""


def write_archive(
    path: Path, kind: str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> Path:
    """Write tensors in half precision, to a complete file or none.

    Parameters
    ----------
    path : Path
        File name that ends in ``.safetensors``.
    kind : str
        Kind of content, which is checked when the file is read.
    tensors : Mapping
        Parameters by name.
    metadata : Mapping
        Texts stored with them.

    Raises
    ------
    FloatingPointError
        If a value is not finite, also one that half precision cannot hold.
    """
    import torch
    from safetensors.torch import save

    half = {name: t.detach().to(torch.float16).contiguous() for name, t in tensors.items()}
    for name, tensor in half.items():
        if not tensor.isfinite().all():
            raise FloatingPointError(
                f'{path} is not written: {name} is not finite, or too large for half precision. '
                'Train with another recipe, a lower learning rate or another --random-seed'
            )
    content = _in_order(save(half, metadata={'format': kind, **metadata}))
    with atomic_path(path) as partial:
        partial.write_bytes(content)
        partial.chmod(0o644)
    return Path(path)


def _in_order(content: bytes) -> bytes:
    """Sort the header, which safetensors writes in random order, so that checksums are stable.

    The format: 8 bytes with the header's length, little-endian; the header, JSON; the tensors.
    Blanks may follow the header, so that the tensors stay aligned.
    """
    length = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8 : 8 + length])
    ordered = json.dumps(header, sort_keys=True, separators=(',', ':')).encode()
    ordered += b' ' * (-len(ordered) % 8)
    return len(ordered).to_bytes(8, 'little') + ordered + content[8 + length :]


@dataclass(frozen=True)
class Archive:
    """Content of a weights file, checked.

    Parameters
    ----------
    path : Path
        The file.
    metadata : mapping
        Its texts; 'format' is the kind of content.
    arrays : mapping
        Numbers by name, all finite.
    sha256 : str
        Checksum of the bytes that were read, hexadecimal.
    """

    path: Path
    metadata: Mapping[str, str]
    arrays: Mapping[str, np.ndarray]
    sha256: str

    def value(self, key: str, default: str | None = None) -> Any:
        """Read a text that is JSON.

        Raises
        ------
        WeightsError
            If it is missing without a default, or is not JSON, for which NaN is no number.
        """
        text = self.metadata.get(key, default)
        if text is None:
            raise WeightsError(f'{self.path}: its metadata lacks {key!r}; get the file again')
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise WeightsError(
                f'{self.path}: {key!r} of its metadata is damaged ({error}); get the file again'
            ) from error

    def part(self, prefix: str) -> Archive:
        """Return what belongs to a part: names that begin with a prefix, without it."""
        return Archive(
            self.path,
            _beginning(self.metadata, prefix),
            _beginning(self.arrays, prefix),
            self.sha256,
        )

    def check_shapes(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse parameters that are not exactly those of a network.

        Parameters
        ----------
        expected : mapping
            Name of each parameter to its shape.

        Raises
        ------
        WeightsError
            If one is missing, is one too many, or has another shape.
        """
        names = expected.keys() ^ self.arrays.keys()
        for name in sorted(names):
            lack = 'lacks' if name in expected else 'has, beyond the network it describes,'
            raise WeightsError(
                f'{self.path} is damaged or of another network: it {lack} {name[:80]!r}; get the '
                'file again'
            )
        for name, shape in expected.items():
            if self.arrays[name].shape != shape:
                raise WeightsError(
                    f'{self.path} is damaged or of another network: {name} has the shape '
                    f'{self.arrays[name].shape}, not {shape}; get the file again'
                )


def _beginning(items: Mapping[str, _Item], prefix: str) -> dict[str, _Item]:
    """Return what has names that begin with a prefix, without it."""
    return {n[len(prefix) :]: item for n, item in items.items() if n.startswith(prefix)}


def open_archive(path: Path, kind: str | Collection[str], sha256: str | None = None) -> Archive:
    """Read a weights file once, and check all that can be told without its network; no Torch.

    Parameters
    ----------
    path : Path
        The file.
    kind : str or collection of str
        Kind of content; any of several.
    sha256 : str, optional
        Checksum that it must have, found when the run began.

    Raises
    ------
    WeightsError
        As `read_safetensors`; and if the file holds something else than `kind`, or has changed.
    """
    archive = read_safetensors(path)
    if sha256 is not None and archive.sha256 != sha256:
        raise WeightsError(
            f'{path} has changed since the run began; leave it as it is, and start again'
        )
    kinds = [kind] if isinstance(kind, str) else sorted(kind)
    if archive.metadata.get('format') not in kinds:
        raise WeightsError(f'{path} does not hold {" or ".join(kinds)} weights; give another file')
    for name, array in sorted(archive.arrays.items()):
        if array.dtype.kind != 'f':
            raise WeightsError(f'{path}: {name} holds {array.dtype}, not weights; get it again')
    return archive


def read_safetensors(path: Path) -> Archive:
    """Read any file of safetensors once, within bounds.

    Raises
    ------
    WeightsError
        If the file is missing, is not safetensors, or holds numbers that are not finite.
    """
    path = Path(path)
    content = _read_bytes(path)
    metadata, arrays = _read_metadata(path, content), _read_arrays(path, content)
    for name, array in sorted(arrays.items()):
        if array.dtype.kind == 'f' and not np.isfinite(array).all():
            raise WeightsError(
                f'{path}: {name} holds values that are not numbers (NaN or infinite); get the '
                'file again, or train again'
            )
    return Archive(path, metadata, arrays, hashlib.sha256(content).hexdigest())


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise WeightsError(f'weights file not found: {path}')
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(
                f'{path} has {size / 1e9:.1f} GB, more than weights can have '
                f'({MAX_BYTES / 1e9:.0f} GB); give another file'
            )
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f'{path} cannot be read ({error}); check its permissions') from error


def _read_metadata(path: Path, content: bytes) -> dict[str, str]:
    """Read the texts of the header; see `_in_order` for the format."""
    length = int.from_bytes(content[:8], 'little')
    try:
        if not 0 < length <= min(len(content) - 8, MAX_HEADER):
            raise ValueError(f'its header would have {length} bytes')
        header = json.loads(content[8 : 8 + length], object_pairs_hook=_without_repeats)
        metadata = header.get('__metadata__', {})
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError('its metadata are not texts')
    except (ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f'{path} is not a safetensors file, or is damaged ({error}); get it again'
        ) from error
    return metadata


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice: readers differ in which of both they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError('a name occurs twice in its header')
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is not a number')


def _read_arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        # The package checks types, shapes and that the parts fill the file without overlap.
        return load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise WeightsError(
            f'{path} is not a safetensors file, or is damaged ({error}); get it again'
        ) from error


def read_archive(
    path: Path, kind: str, sha256: str | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read tensors (as float32) and texts; see `open_archive` for parameters and errors."""
    archive = open_archive(path, kind, sha256)
    return as_tensors(archive.arrays), dict(archive.metadata)


def as_tensors(arrays: Mapping[str, np.ndarray], prefix: str = '') -> dict[str, torch.Tensor]:
    """Convert the arrays whose names begin with a prefix, without it, to float32 tensors."""
    import torch

    return {
        name[len(prefix) :]: torch.from_numpy(array.astype(np.float32))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
