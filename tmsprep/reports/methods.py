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
    error_level: str
    error_people: str
    error_scaled: bool
    raters: str = ''
    threshold: str = ''


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
        error_level=_percent(_part(sidecar, 'Calibration', 'Level')),
        error_people=_range(_part(sidecar, 'Calibration', 'People')),
        error_scaled=_part(sidecar, 'Calibration', 'ScaledByDispersion') is True,
        raters=_names(sidecar.get('Raters')),
        threshold=_word(sidecar.get('ConsensusThreshold')).removesuffix('.0'),
    )


def _part(sidecar: Mapping[str, object], key: str, name: str) -> object:
    value = sidecar.get(key)
    return value.get(name) if isinstance(value, dict) else value


def _percent(value: object) -> str:
    return f'{100 * value:g} %' if isinstance(value, float) else ''


def _range(people: object) -> str:
    """Return how many people there were per target: '20', or '18 to 20'."""
    numbers = sorted(people.values()) if isinstance(people, dict) else []
    ends = dict.fromkeys(str(numbers[i]) for i in (0, -1)) if numbers else {}
    return ' to '.join(ends)


def _names(value: object) -> str:
    return ', '.join(map(str, value)) if isinstance(value, list) else ''


def _word(value: object) -> str:
    return '' if value is None else str(value)
