"""What is left to do for an image: asked by a run at its end, and by the job files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import POINTS
from tmsprep.evaluation.status import has_usable
from tmsprep.files import file_sha256
from tmsprep.methods.base import Method
from tmsprep.options import NamedPath
from tmsprep.outcome import INPUTS, inputs_of
from tmsprep.own_points import OwnPoints
from tmsprep.protocols import Protocol
from tmsprep.tables import read_json
from tmsprep.text import shown

#: What a difference in an entry of `tmsprep.outcome.inputs_of` is called.
_CHANGES = {
    'Image': 'of another image of the same name',
    'Targets': 'of other targets',
    'Resources': 'made with other weights, another atlas or other options',
    'RandomSeed': 'made with another seed',
    'Threads': 'made with another number of threads',
    'Version': 'made by another version',
    'After': 'made with other points to start from',
}


@dataclass(frozen=True)
class Work:
    """What a run of the participant level is to do.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    methods : sequence of Method
        Methods of the run.
    options : mapping
        Option name to value, of the command and of the methods.
    resources : mapping, optional
        Method to what `Method.resources` returned; if not given, tables may be made in any way.
    derivatives : sequence of NamedPath
        Directories with earlier derivatives.
    chosen : sequence of str
        Labels of the targets that the tables list; empty for all.
    own_points : OwnPoints, optional
        Points given in a template.
    """

    layout: Layout
    protocol: Protocol
    methods: Sequence[Method]
    options: Mapping[str, Any]
    resources: Mapping[str, Mapping[str, Any]] | None = None
    derivatives: Sequence[NamedPath] = ()
    chosen: Sequence[str] = ()
    own_points: OwnPoints | None = None
    _checksum: Callable[[Path], str] = field(
        default_factory=lambda: cache(file_sha256), init=False, repr=False, compare=False
    )

    def left(self, image: ImageRef) -> Iterator[str]:
        """Say what of an image a run would do, or do again; nothing if it is done.

        It is done if every table of every method can be read, has the targets of the run, and
        was made of this very image with the same resources and options.

        Parameters
        ----------
        image : ImageRef
            The source. If its content is not there any more, it is taken to be the same.
        """
        sha256 = _checksum_of(image.path)
        expected = {} if sha256 is None else self.inputs(image, sha256)
        for method in self.methods:
            for path in method.tables(self.layout, image, self.options):
                main = path == self.layout.table(image, method.name)
                inputs = expected.get(method.name) if main else None
                reason = self._why_again(path, sha256, inputs)
                if reason:
                    yield reason
        if self.own_points is not None:
            yield from self._points_left(self.own_points, image, sha256, expected)

    def without_points(self, image: ImageRef) -> Iterator[str]:
        """Name the tables of an image that hold no usable point.

        They are done nevertheless: the same run would give the same again.
        """
        for method, rows in self.statuses(image).items():
            statuses = [*rows.values()]
            if method != POINTS and not has_usable(statuses):
                path = self.layout.table(image, method)
                counts = sorted(Counter(statuses).items())
                words = ', '.join(f'{count} {status}' for status, count in counts)
                message = f'{path.name}: no point may be used ({words})'
                yield '; '.join([message, *_findings(path.with_suffix('.json'))])

    def statuses(self, image: ImageRef) -> dict[str, dict[str, str]]:
        """Read the statuses of all points of an image: method or `POINTS`, target, status."""
        found = {}
        for name in (*(method.name for method in self.methods), POINTS):
            try:
                table = _read(self.layout.table(image, name))
                found[name] = dict(zip(table['label'], table['status'], strict=True))
            except (OSError, ValueError, KeyError):
                continue
        return found

    def inputs(self, image: ImageRef, sha256: str) -> dict[str, dict[str, Any]]:
        """Return method to the inputs that a run would note, for an image with this checksum.

        Nothing without resources.
        """
        if self.resources is None:
            return {}
        methods = {method.name: method for method in self.methods}
        found: dict[str, dict[str, Any]] = {}

        def add(name: str) -> dict[str, Any]:
            if name not in found:
                method = methods[name]
                after = {other: add(other) for other in method.after if other in methods}
                found[name] = self._inputs_of(method, image, sha256, after)
            return found[name]

        return {name: add(name) for name in methods}

    def _why_again(self, path: Path, sha256: str | None, inputs: Mapping[str, Any] | None) -> str:
        if not path.is_file():
            return f'no {path.name}'
        try:
            labels = _read(path)['label']
        except (OSError, ValueError, KeyError) as error:
            return f'{path.name} cannot be read ({error})'
        sidecar = read_json(path.with_suffix('.json'))
        reference = sidecar.get('ReferenceImage')
        of_image = reference.get('SHA256') if isinstance(reference, dict) else None
        change = ''
        if labels != (tuple(self.chosen) or self.protocol.labels):
            change = 'Targets'
        elif sha256 is not None and of_image != sha256:
            change = 'Image'
        elif inputs is not None:
            change = _difference(sidecar.get(INPUTS), inputs)
        return f'{path.name}: {_CHANGES[change]}' if change else ''

    def _points_left(
        self,
        own: OwnPoints,
        image: ImageRef,
        sha256: str | None,
        expected: Mapping[str, Mapping[str, Any]],
    ) -> Iterator[str]:
        """Say why the points given in a template would be carried into an image again."""
        path = self.layout.table(image, POINTS)
        sidecar = read_json(path.with_suffix('.json'))
        if not (path.is_file() and sidecar):
            yield f'no {path.name}'
            return
        reference, noted = sidecar.get('ReferenceImage'), sidecar.get(INPUTS)
        of_image = reference.get('SHA256') if isinstance(reference, dict) else None
        inputs = own.inputs(expected.get(str(sidecar.get('Localizer')), {}))
        known = noted if isinstance(noted, dict) else {}
        if sha256 is not None and of_image != sha256:
            yield f'{path.name}: {_CHANGES["Image"]}'
        elif known.get('Points') != inputs['Points']:
            yield f'{path.name}: of other points, or made by another version'
        elif expected and known.get('Registration') != inputs['Registration']:
            yield f'{path.name}: made with another registration'

    def _inputs_of(
        self, method: Method, image: ImageRef, sha256: str, after: Mapping[str, Any]
    ) -> dict[str, Any]:
        given = method.image_resources(image, self.layout, self.derivatives)
        return inputs_of(
            image_sha256=sha256,
            protocol=self.protocol,
            resources={**(self.resources or {})[method.name], **given},
            version=method.version,
            random_seed=self.options['random_seed'],
            threads=self.options['omp_nthreads'],
            after=after,
            checksum=self._checksum,
        )


def _findings(sidecar: Path) -> list[str]:
    """Read what a sidecar says is doubtful about the image."""
    content = read_json(sidecar)
    lists = (content.get('ImageFindings'), content.get('Findings'))
    return [shown(text) for some in lists if isinstance(some, list) for text in some]


def _difference(noted: object, inputs: Mapping[str, Any]) -> str:
    """Name the entry in which inputs differ from what a sidecar notes; '' if there is none."""
    # Another version computes anew, whatever else is the same; the first ones noted nothing.
    known = noted if isinstance(noted, dict) else {}
    return next((key for key in ('Version', *inputs) if known.get(key) != inputs[key]), '')


def _checksum_of(path: Path) -> str | None:
    try:
        return file_sha256(path) if path.is_file() else None
    except OSError:
        return None


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the columns of a table as text; every error is an OSError or a ValueError."""
    if not path.is_file():
        raise FileNotFoundError(path)
    # Pandas would take ten times as long, for thousands of participants.
    with path.open(encoding='utf-8', newline='') as stream:
        try:
            rows = list(csv.reader(stream, delimiter='\t'))
        except csv.Error as error:
            raise ValueError(str(error)) from error
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError('cut short or damaged')
    return dict(zip(rows[0], zip(*rows[1:], strict=True), strict=False))
