"""Weights, atlases and other files of the methods, found and checked before a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tmsprep.bids.names import shorten
from tmsprep.evaluation.head import MeanHead
from tmsprep.gyri.weights import GYRI_KIND, MIN_POINTS, check_gyri, limits_of
from tmsprep.methods.base import Method
from tmsprep.networks.archive import Archive, WeightsError, open_archive
from tmsprep.networks.settings import check_labels
from tmsprep.protocols import Protocol


class ResourceError(ValueError):
    """Weights or an atlas that do not fit the protocol; the message names file and cure."""


def gather_resources(
    methods: Sequence[Method], protocol: Protocol, options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Find the resources of all methods of a run: method to what `Method.resources` returned.

    Raises
    ------
    ResourceError
        If one is missing or made for other targets; the message names all that are.
    """
    found: dict[str, dict[str, Any]] = {}
    problems = [*_head_problems(protocol), *_gyri_problems(protocol)]
    for method in methods:
        try:
            found[method.name] = method.resources(protocol, options)
        except ResourceError as error:
            problems.append(f'{method.name}: {error}')
    if problems:
        raise ResourceError('; '.join(problems))
    return found


def _head_problems(protocol: Protocol) -> list[str]:
    """Say why the mean head of a protocol cannot be used; nothing if it can, or there is none."""
    try:
        if protocol.head:
            MeanHead.load(protocol.file(protocol.head))
    except ValueError as error:
        return [str(error)]
    return []


def _gyri_problems(protocol: Protocol) -> list[str]:
    """Say why the weights by which gyri are told apart cannot be used; nothing if they can."""
    if not protocol.gyri:
        return []
    try:
        archive = open_archive(protocol.file(protocol.gyri), GYRI_KIND)
        _, labels, _ = check_gyri(archive)
        limits_of(archive)
    except WeightsError as error:
        return [str(error)]
    shared = set(labels) & set(protocol.labels)
    if len(shared) >= MIN_POINTS:
        return []
    problem = (
        f'{archive.path}: lays heads by {shorten([*labels])}, of which protocol {protocol.name} '
        f'has {len(shared)}, and {MIN_POINTS} are needed; give other weights'
    )
    return [problem]


def find_weights(
    method: str,
    kind: str | Collection[str],
    protocol: Protocol,
    given: Path | None,
    check: Callable[[Archive], object] | None = None,
) -> tuple[dict[str, str], Archive]:
    """Find the weights of a method, and refuse damaged ones and those of other targets; no Torch.

    Parameters
    ----------
    method : str
        Name of the method.
    kind : str or collection of str
        As in `tmsprep.networks.archive.open_archive`.
    protocol : Protocol
        The targets, and the default weights.
    given : Path or None
        Weights to use instead of the default ones.
    check : callable, optional
        Raises `WeightsError` if the content is not that of a network of the method.

    Returns
    -------
    tuple
        'weights' and 'weights_sha256', a dictionary; and the content of the file.

    Raises
    ------
    ResourceError
        If there are none, they cannot be used, or they lack a target.
    """
    path = given
    if path is None and method in protocol.weights:
        path = protocol.file(protocol.weights[method])
    if path is None or (given is None and not path.exists()):
        where = f' at {path}' if path else ''
        raise ResourceError(
            f'protocol {protocol.name} has no default weights{where}. Give --weights FILE, or '
            f'train them on your annotated images: tmsprep BIDS_DIR WEIGHTS train --protocol '
            f'{protocol.name} --annotations DIR; then give --weights '
            f'WEIGHTS/localizer_{protocol.name}.safetensors'
        )
    try:
        archive = open_archive(path, kind)
        labels = list(check_labels(archive))
        if check is not None:
            check(archive)
    except WeightsError as error:
        raise ResourceError(f'{error}') from error
    missing = [label for label in protocol.labels if label not in labels]
    if missing:
        raise ResourceError(
            f'{path}: trained for {shorten(labels)}, and lacks {shorten(missing)} of protocol '
            f'{protocol.name}; give --weights of this protocol, or the --protocol of these weights'
        )
    return {'weights': str(path), 'weights_sha256': archive.sha256}, archive
