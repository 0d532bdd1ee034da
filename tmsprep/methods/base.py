"""The interface between the shared rooms and the methods, each of which is a folder.

The shared rooms (command line, workflows, derivatives, reports, group level, training loop) name
no method and no protocol. All they know is in the classes here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import nibabel as nib
import numpy as np

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.evaluation.head import MeanHead
from tmsprep.evaluation.status import RADIUS, STATUSES, point_status
from tmsprep.files import code_version
from tmsprep.options import NamedPath, Option
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.tables import Column
from tmsprep.template import TemplateMap

if TYPE_CHECKING:
    from tmsprep.group.analysis import Group, GroupRequest, GroupResult
    from tmsprep.methods.learner import Learner
    from tmsprep.reports.sections import Section


@dataclass(frozen=True)
class Request:
    """What a method gets to localise in one image.

    Parameters
    ----------
    conformed : Path
        The conformed image: 256 voxels of 1 mm along each axis, or isotropic voxels of
        `Protocol.voxel_mm` if `Method.isotropic`; see `tmsprep.imaging`.
    properties : mapping
        Of the input image: 'path', 'shape', 'affine', 'sha256', 'window', its 5th and 95th
        percentile of intensity, 'findings', what is suspicious about its voxels, or was replaced,
        in words, and 'doubts', those of them by which no point can be relied on.
    protocol : Protocol
        The targets.
    resources : mapping
        What `Method.resources` returned.
    earlier : mapping
        Outcomes of the methods named in `Method.after` that are part of this run.
    folder : Path
        Directory for files; they are kept as long as the working directory.
    device : str
        'cpu' or 'cuda'.
    random_seed : int
        Seed of the run.
    threads : int
        Threads to compute with, where the result depends on their number.
    """

    conformed: Path
    properties: Mapping[str, Any]
    protocol: Protocol
    resources: Mapping[str, Any]
    earlier: Mapping[str, Outcome] = field(default_factory=dict)
    folder: Path = Path()
    device: str = 'cpu'
    random_seed: int = 1
    threads: int = 1

    @cached_property
    def coarse(self) -> nib.Nifti1Image:
        """The conformed image as it is compared with mean heads, see `MeanHead.coarse`."""
        lower, upper = self.properties['window']
        conformed = nib.Nifti1Image.from_filename(self.conformed)
        return MeanHead.coarse(conformed, (lower, upper))


class Method(ABC):
    """A way to localise the targets of a protocol in one image.

    Only `locate` must be written. A method must be cheap to import and to create: what is heavy
    (torch, ants) is imported inside the functions that need it.

    Attributes
    ----------
    name : str
        Value of the entity ``desc`` of its tables, and name in ``--localizers``.
    title : str
        Short name in reports.
    description : str
        One sentence for the sidecars, with the citation.
    reference : str
        Full citation for the methods text of the report.
    columns : mapping
        Columns of its table beyond the common ones.
    statuses : mapping
        Every status its table can have, with its meaning.
    options : tuple of Option
        Options of the command line that it adds.
    after : tuple of str
        Methods whose points it can start from, if they are part of the run.
    any_points : bool
        Whether it takes any list of points, and so serves protocols that name no method.
    isotropic : bool
        Whether images are conformed to isotropic voxels of `Protocol.voxel_mm` in their own field
        of view, rather than to the common grid.
    uses_gpu : bool
        Whether it computes on a GPU if there is one.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    reference: ClassVar[str] = ''
    columns: ClassVar[Mapping[str, Column]] = {}
    statuses: ClassVar[Mapping[str, str]] = STATUSES
    options: ClassVar[tuple[Option, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()
    any_points: ClassVar[bool] = False
    isotropic: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False

    def resources(self, protocol: Protocol, options: Mapping[str, Any]) -> dict[str, Any]:
        """Find weights and other files before anything is computed.

        Parameters
        ----------
        protocol : Protocol
            The targets.
        options : mapping
            Option name to value, of the command and of this method.

        Returns
        -------
        dict
            JSON-ready; checksums belong in it, so that changed files are noticed.

        Raises
        ------
        ResourceError
            If a file is missing or made for other targets.
        """
        return {}

    def image_resources(
        self, image: ImageRef, layout: Layout, derivatives: Sequence[NamedPath]
    ) -> dict[str, Any]:
        """Find earlier derivatives of one image that replace a computation; JSON-ready.

        They are added to what `resources` returned.
        """
        return {}

    def memory_gb(self, resources: Mapping[str, Any], images: Sequence[Path]) -> float:
        """Peak memory of `locate` in the largest of some images, GB of 10^9 bytes."""
        return 1.0

    def cpus(self, threads: int) -> int:
        """CPUs that `locate` keeps busy when a step may have this many threads."""
        return 1

    @property
    def takes_derivatives(self) -> bool:
        """Whether it can use what others have made of an image; see `image_resources`."""
        return type(self).image_resources is not Method.image_resources

    @property
    def version(self) -> str:
        """Outcomes in a working directory are reused while it stays the same; see `code_version`.

        A method whose results depend on more code of its own returns the version of its package.
        """
        return code_version(type(self))

    @abstractmethod
    def locate(self, request: Request) -> Outcome:
        """Localise all targets in one image; an exception becomes a failed outcome."""

    def stage(self, folder: Path) -> str:
        """Say what `locate` is doing, by the files it is writing; '' if it does not tell.

        Shown each minute while it runs.

        Parameters
        ----------
        folder : Path
            Directory around `Request.folder`.
        """
        return ''

    def check(self, outcome: Outcome, request: Request) -> Outcome:
        """Find the targets that are not to be relied on, and what is doubtful about the image.

        By comparing the image, seen from the points, with the mean head of the protocol, and by
        the gyri that the points lie in, if the protocol has one and the other; see
        `tmsprep.evaluation.head` and `tmsprep.methods.places`. Adds the columns 'match' and
        `GYRUS_COLUMNS`.
        """
        if outcome.points is None or self.isotropic:
            return outcome
        if request.protocol.head:
            outcome = _compare(outcome, request)
        if request.protocol.gyri:
            from tmsprep.methods.places import add_places

            outcome = add_places(outcome, request)
        return outcome

    def status(
        self,
        outcome: Outcome,
        others: Sequence[Outcome],
        protocol: Protocol,
        properties: Mapping[str, Any],
    ) -> list[str]:
        """Judge every target; keys of `statuses`, one per target.

        Parameters
        ----------
        outcome : Outcome
            Of this method.
        others : sequence of Outcome
            Of the other methods of the protocol, in the same image.
        protocol : Protocol
            The targets.
        properties : mapping
            As in `Request`.
        """
        other = next((points_of(o, protocol) for o in others), None)
        # A finding about the image, by another method or when it was read, concerns every point.
        refused = any(o.refused for o in others) or bool(properties.get('doubts'))
        radius = outcome.columns.get(RADIUS)
        return point_status(
            points_of(outcome, protocol),
            other,
            protocol,
            tuple(properties['shape']),
            np.array(properties['affine']),
            unreliable=protocol.labels if refused else outcome.unreliable,
            doubts=outcome.doubts,
            radius_mm=None if radius is None else np.array(radius, dtype=np.float64),
        )

    def tables(self, layout: Layout, image: ImageRef, options: Mapping[str, Any]) -> list[Path]:
        """Tables that a finished image has."""
        return [layout.table(image, self.name)]

    def write(  # noqa: B027 (most methods have no further derivatives)
        self,
        outcome: Outcome,
        image: ImageRef,
        layout: Layout,
        protocol: Protocol,
        entries: Mapping[str, Any],
    ) -> None:
        """Write further derivatives, and delete those of an earlier run that no longer hold.

        Parameters
        ----------
        outcome : Outcome
            Of this method; its `files` are those made by `locate`.
        image : ImageRef
            The source.
        layout : Layout
            Names of the outputs.
        protocol : Protocol
            The targets.
        entries : mapping
            Entries that every sidecar has: source, reference image, seed, disclaimer.
        """

    def template(self, resources: Mapping[str, Any]) -> str:
        """Template space to which `locate` registers images; '' if to none.

        Parameters
        ----------
        resources : mapping
            What `resources` returned.
        """
        return ''

    def template_map(
        self, outcome: Outcome, image: ImageRef, layout: Layout, sha256: str
    ) -> TemplateMap | None:
        """Return the way between an image and a template, which serves all points in the image.

        Parameters
        ----------
        outcome : Outcome
            Of this method, of this run or read back from its table.
        image : ImageRef
            The source.
        layout : Layout
            Names of the outputs, among which that of an earlier run may be.
        sha256 : str
            Checksum of the image: what was made from another one must not be used.
        """
        return None

    def brain_distance(self, coordinates: np.ndarray) -> np.ndarray:
        """Distance of points from the brain of the template of `template`, shape (n,).

        Parameters
        ----------
        coordinates : numpy.ndarray
            Shape (n, 3), mm, RAS+, in the template.

        Returns
        -------
        numpy.ndarray
            mm; 0 inside the brain, infinite far from it.
        """
        return np.zeros(len(coordinates))

    def plot(
        self, outcome: Outcome, conformed: Path, points: PointSet, image: ImageRef, layout: Layout
    ) -> list[Path]:
        """Draw figures beyond those of every method.

        Parameters
        ----------
        outcome : Outcome
            Of this method.
        conformed : Path
            As in `Request`.
        points : PointSet
            Of the table, mm, RAS+, in the order of the protocol; NaN where missing.
        image : ImageRef
            The source.
        layout : Layout
            Names of the outputs.

        Returns
        -------
        list of Path
            The figures.
        """
        return []

    def learner(self, protocol: Protocol, options: Mapping[str, Any]) -> Learner | None:
        """Return how the method is trained and cross-validated; None if it does not learn."""
        return None

    @property
    def trains_on_outputs(self) -> bool:
        """Whether it is trained without images, see `train_on_outputs`."""
        return type(self).train_on_outputs is not Method.train_on_outputs

    def train_on_outputs(
        self, group: Group, resources: Mapping[str, Any], *, write: bool = True
    ) -> Group:
        """Train on points of raters and the derivatives of the participant level, if it can.

        Parameters
        ----------
        group : Group
            Result of `collect_group`, with raters.
        resources : mapping
            What `resources` returned.
        write : bool
            Whether to write what was trained.

        Returns
        -------
        Group
            With what was noticed as further issues.

        Raises
        ------
        ValueError
            If there is not enough to train on.
        """
        return group

    def section(self, image: ImageRef, layout: Layout) -> Section | None:
        """Part of the report beyond what every method has, from the derivatives alone."""
        return None

    def collect_group(self, request: GroupRequest) -> Group:
        """Read and check what is compared at the group level, if it is the lead method.

        The lead method is the first of a protocol.

        Raises
        ------
        tmsprep.bids.BidsError
            If there is nothing to compare, or a chosen participant is unknown.
        """
        from tmsprep.group.collect import collect_group

        return collect_group(request)

    def extend_group(self, group: Group) -> Group:
        """Add what its points are compared with at the group level, beyond methods and raters.

        Called for each method of a protocol, before `analyse_group`.
        """
        return group

    def analyse_group(self, group: Group) -> GroupResult:
        """Make the tables of the group level, if it is the lead method; writes nothing.

        Parameters
        ----------
        group : Group
            Result of `collect_group`.
        """
        from tmsprep.group.comparison import compare_group

        return compare_group(group)

    def group_sections(self, result: GroupResult) -> list[Section]:
        """Sections of the report of the group level, if it is the lead method.

        Parameters
        ----------
        result : GroupResult
            Result of `analyse_group`.
        """
        return []


def _compare(outcome: Outcome, request: Request) -> Outcome:
    """Compare an image with the mean head; add what is found to the outcome."""
    labels = request.protocol.labels
    model = MeanHead.load(request.protocol.file(request.protocol.head))
    points = points_of(outcome, request.protocol)
    fit = model.fit(request.coarse, points)
    spread = dict(zip(labels, outcome.columns.get('dispersion_mm', ()), strict=False))
    known = np.array([spread.get(label) for label in model.labels], dtype=np.float64)
    judgement = model.judge(fit, known)
    match = {} if fit is None else dict(zip(model.labels, fit.local_match.tolist(), strict=True))
    doubtful = labels if judgement.findings else np.array(model.labels)[judgement.unreliable]
    unreliable = np.array(labels)[np.isin(labels, doubtful) & points.found].tolist()
    return replace(
        outcome,
        columns={**outcome.columns, 'match': [match.get(label) for label in labels]},
        findings=[*outcome.findings, *judgement.findings],
        unreliable=[*outcome.unreliable, *unreliable],
    )


def points_of(outcome: Outcome, protocol: Protocol) -> PointSet:
    """Points of an outcome in the order of the protocol; NaN where missing."""
    if outcome.points is None:
        return PointSet.from_mapping({}, protocol.labels)
    return outcome.points.reindex(protocol.labels)
