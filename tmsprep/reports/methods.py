"""What the methods text of a report needs to know, from the sidecars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tmsprep.reports.collect import ImageResults
from tmsprep.reports.styles import method_order


@dataclass(frozen=True)
class MethodText:
    """How one method was run; text is empty where the sidecar does not say."""

    method: str
    version: str
    seed: str
    weights: str
    weights_sha256: str
    ensemble: str
    atlas: str
    preset: str


def method_texts(images: Sequence[ImageResults]) -> list[tuple[MethodText, list[str]]]:
    """Return each distinct way in which a method was run, with the images it was run on."""
    texts: dict[MethodText, list[str]] = {}
    for method in method_order({method for image in images for method in image.tables}):
        for image in images:
            if method in image.tables:
                text = method_text(method, image.tables[method].sidecar)
                texts.setdefault(text, []).append(image.name)
    return list(texts.items())


def method_text(method: str, sidecar: Mapping[str, object]) -> MethodText:
    """Read what the text says from the sidecar of a table of targets."""
    return MethodText(
        method,
        version=_word(sidecar.get('SoftwareVersion')),
        seed=_word(sidecar.get('RandomSeed')),
        weights=_word(_part(sidecar, 'Weights', 'Name')),
        weights_sha256=_word(_part(sidecar, 'Weights', 'SHA256')),
        ensemble=_word(sidecar.get('EnsembleSize')),
        atlas=_word(_part(sidecar, 'Atlas', 'Name')),
        preset=_word(sidecar.get('SynPreset')),
    )


def _part(sidecar: Mapping[str, object], key: str, name: str) -> object:
    value = sidecar.get(key)
    return value.get(name) if isinstance(value, dict) else value


def _word(value: object) -> str:
    return '' if value is None else str(value)
