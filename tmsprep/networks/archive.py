"""Weights files: safetensors with the metadata from which the network is rebuilt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tmsprep.atomic import atomic_path

if TYPE_CHECKING:
    import torch


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
    """
    import torch
    from safetensors.torch import save

    half = {name: t.detach().to(torch.float16).contiguous() for name, t in tensors.items()}
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


def read_metadata(path: Path, kind: str) -> dict[str, str]:
    """Read the texts of a weights file from its header alone, without Torch.

    Raises
    ------
    WeightsError
        If the file is missing, is not safetensors, or holds something else than `kind`.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f'weights file not found: {path}')
    try:
        with path.open('rb') as stream:
            length = int.from_bytes(stream.read(8), 'little')
            if length > path.stat().st_size:
                raise ValueError('its header is cut short')
            metadata = json.loads(stream.read(length)).get('__metadata__', {})
    except (ValueError, AttributeError) as error:
        raise WeightsError(f'{path} is not a safetensors file: {error}') from error
    _check_kind(path, metadata, kind)
    return metadata


def _check_kind(path: Path, metadata: Mapping[str, str], kind: str) -> None:
    if metadata.get('format') != kind:
        raise WeightsError(f'{path} does not hold {kind} weights; give another file')


def read_archive(path: Path, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read tensors (as float32) and metadata.

    Raises
    ------
    WeightsError
        If the file is missing, is not safetensors, or is of another kind.
    """
    from safetensors import safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f'weights file not found: {path}')
    try:
        with safe_open(path, framework='pt') as archive:
            metadata = archive.metadata() or {}
            names = list(archive.keys())
            tensors = {name: archive.get_tensor(name).float() for name in names}
    except Exception as error:
        raise WeightsError(f'{path} is not a safetensors file: {error}') from error
    _check_kind(path, metadata, kind)
    return tensors, metadata


@contextmanager
def rebuilding(path: Path) -> Iterator[None]:
    """Name the file if its content does not fit the network in its metadata."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f'{path} is damaged; get it again: {error}') from error
