"""What is used of the masks and transforms that were found, after a look at each."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.bids.earlier import Earlier
from tmsprep.derivatives.earlier import source_sha256
from tmsprep.files import file_sha256
from tmsprep.imaging.likeness import LIKENESS_BOUND, likeness
from tmsprep.imaging.placement import misplaced
from tmsprep.imaging.read import ImageError
from tmsprep.methods.base import Request
from tmsprep.methods.syn.files import atlas_name, describe_atlas, places_in
from tmsprep.methods.syn.masks import bring_to_grid, implausible, open_volume, read_mask
from tmsprep.methods.syn.reuse import of_another, unfit_transforms
from tmsprep.registration.fields import displacement_field
from tmsprep.registration.frames import write_linear
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS, SPACES
from tmsprep.registration.plausibility import CURE, ImplausibleRegistration, check_pair

#: A transform between two images of one head turns and shifts; it stretches by less than this.
_RIGID = 0.02

_UNUSABLE = (OSError, ValueError, ImplausibleRegistration)

logger = logging.getLogger(__name__)


class _NotUsed(ValueError):
    """The reason why files are not used, in words."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """How files of another program lie to the image.

    Parameters
    ----------
    matrix : numpy.ndarray
        Shape (4, 4), mm, RAS+: from the world of the files to that of the image.
    likeness : float or None
        Of the image and the other program's T1w; None if it has none.
    """

    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    likeness: float | None = None

    @property
    def moved(self) -> bool:
        """Whether the two worlds differ."""
        return not np.array_equal(self.matrix, np.eye(4))


@dataclass(frozen=True, eq=False)
class GivenTransforms:
    """A pair of transforms that is used.

    Parameters
    ----------
    space : str
        The atlas.
    to_atlas, from_atlas : Path
        Moves points from the atlas to the image, and back.
    made_of : Path
        The file that `to_atlas` is, or was made of.
    """

    space: str
    to_atlas: Path
    from_atlas: Path
    made_of: Path


class Given:
    """Masks and transforms of earlier runs and other programs, for one image.

    What is not of this image, implausible or damaged is not used, and the reason is logged.

    Parameters
    ----------
    request : Request
        Its resources are those of `find_atlas` and `find_given`.
    reader : TransformReader
        For the transforms.

    Attributes
    ----------
    reused : list of dict
        For the sidecar: what was taken, and from where.
    refused : list of str
        What was not, and why.
    unchecked : list of str
        'mask' and 'transforms', if they are used and nothing shows which image they were made
        from.
    """

    def __init__(self, request: Request, reader: TransformReader) -> None:
        self._request, self._reader = request, reader
        self._conformed = nib.Nifti1Image.from_filename(request.conformed)
        self._found = [Earlier(**item) for item in request.resources.get('given', ())]
        self._frames: dict[int, _Frame | _NotUsed] = {}
        self._masks: dict[str, nib.Nifti1Image] = {}
        self.reused: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.unchecked: list[str] = []
        for label in request.resources.get('gave_nothing', ()):
            logger.warning(
                '--derivatives %s: has nothing that may be read for %s',
                label,
                request.properties.get('path'),
            )

    def mask(self) -> nib.Nifti1Image | None:
        """Return the first brain mask that may be used, on the conformed grid."""
        for earlier in self._found:
            if not earlier.mask:
                continue
            try:
                frame = self._frame(earlier)
                mask = self._brain(earlier, frame)
            except _UNUSABLE as error:
                self._refuse([earlier.mask], error, 'The brain is extracted')
                continue
            self._take('brain mask', 'mask', earlier, [earlier.mask], frame)
            return mask
        return None

    def transforms(
        self, atlas_mask: nib.spatialimages.SpatialImage, mask: nib.Nifti1Image | None
    ) -> GivenTransforms | None:
        """Return the first pair of transforms that may be used.

        Parameters
        ----------
        atlas_mask : nibabel spatial image
            Brain of the atlas.
        mask : nibabel.Nifti1Image or None
            Brain of the image, if it is known.
        """
        for earlier, space in self._pairs():
            files = earlier.transforms[space]
            try:
                frame = self._frame(earlier)
                self._check_origin(files, space)
                pair = self._prepare(earlier, space, frame)
                check_pair(
                    partial(self._reader.move, transform=pair.to_atlas),
                    partial(self._reader.move, transform=pair.from_atlas),
                    atlas_mask,
                    mask,
                )
            except _UNUSABLE as error:
                self._refuse(files, error, 'The atlas is registered')
                continue
            used = [*files, *([earlier.to_head] if frame.moved else ())]
            self._take(f'transforms to {space}', 'transforms', earlier, used, frame)
            return pair
        return None

    def _pairs(self) -> Iterator[tuple[Earlier, str]]:
        """Yield finds and templates, in the order of preference, that fit the atlas of the run."""
        own = atlas_name(self._request.resources['atlas'])
        spaces = SPACES if own == DEFAULT_ATLAS else (own,)
        for earlier in self._found:
            yield from ((earlier, space) for space in spaces if space in earlier.transforms)

    def _frame(self, earlier: Earlier) -> _Frame:
        """Find how files lie to the image, once for each find.

        Raises
        ------
        ValueError
            If they are not those of this image, or nothing tells.
        """
        key = id(earlier)
        if key not in self._frames:
            try:
                self._frames[key] = self._compare(earlier)
            except ImageError as error:
                self._frames[key] = _NotUsed(str(error))
            except _NotUsed as error:
                self._frames[key] = error
        frame = self._frames[key]
        if isinstance(frame, _NotUsed):
            raise frame
        return frame

    def _compare(self, earlier: Earlier) -> _Frame:
        if earlier.average and not earlier.to_head:
            raise _NotUsed(
                f'the T1w of {earlier.tool or "this folder"} is an average of several images, and '
                'there is no from-orig_to-T1w transform of this one'
            )
        if not earlier.head:
            if not earlier.exact:
                raise _NotUsed(
                    'its name is not that of the image, and there is no T1w beside it by which '
                    'the two could be compared'
                )
            return _Frame()
        matrix = self._rigid(Path(earlier.to_head)) if earlier.to_head else np.eye(4)
        head = open_volume(Path(earlier.head))
        value = likeness(self._conformed, head, self._region(earlier, matrix), matrix)
        if value < LIKENESS_BOUND:
            raise _NotUsed(
                f'{Path(earlier.head).name} beside it is not this image, or lies elsewhere '
                f'(likeness {value:.2f}, at least {LIKENESS_BOUND:g})'
            )
        return _Frame(matrix, round(value, 3))

    def _region(self, earlier: Earlier, matrix: np.ndarray) -> np.ndarray:
        """Choose where the two images are compared: in the brain, if it is known."""
        if earlier.mask:
            with contextlib.suppress(ImageError):
                return np.asarray(self._on_grid(earlier, matrix).dataobj) > 0
        data = np.asanyarray(self._conformed.dataobj)
        return data > data.mean()

    def _rigid(self, transform: Path) -> np.ndarray:
        """Read what moves points from the T1w of another program to the image."""
        corners = np.vstack([np.zeros(3), 100 * np.eye(3), [100, 100, 100]])
        try:
            moved = self._reader.move(corners, transform)
        except (OSError, ValueError) as error:
            raise _NotUsed(str(error)) from error
        matrix = np.eye(4)
        matrix[:3, :3] = (moved[1:4] - moved[0]).T / 100
        matrix[:3, 3] = moved[0]
        bent = np.abs(corners[4] @ matrix[:3, :3].T + moved[0] - moved[4]).max()
        stretch = np.abs(matrix[:3, :3].T @ matrix[:3, :3] - np.eye(3)).max()
        if bent > 0.1 or stretch > _RIGID or np.linalg.det(matrix[:3, :3]) < 0:
            raise _NotUsed(f'{transform.name} does more than turn and shift the head')
        return matrix

    def _brain(self, earlier: Earlier, frame: _Frame) -> nib.Nifti1Image:
        path, properties = Path(earlier.mask), self._request.properties
        if reason := of_another(path, properties):
            raise _NotUsed(reason)
        if not frame.moved:
            where = tuple(properties['shape']), np.array(properties['affine'])
            if reason := misplaced(read_mask(path), *where):
                raise _NotUsed(reason)
        mask = self._on_grid(earlier, frame.matrix)
        if reason := implausible(mask, self._conformed):
            raise _NotUsed(reason)
        return mask

    def _on_grid(self, earlier: Earlier, matrix: np.ndarray) -> nib.Nifti1Image:
        """Read a mask onto the conformed grid, once."""
        if earlier.mask not in self._masks:
            path = Path(earlier.mask)
            self._masks[earlier.mask] = bring_to_grid(
                read_mask(path), path, self._conformed, matrix
            )
        return self._masks[earlier.mask]

    def _check_origin(self, files: Sequence[str], space: str) -> None:
        request = self._request
        preset = request.resources['preset']
        atlas = describe_atlas(request.resources)
        if reason := unfit_transforms(files, request.properties, preset, atlas):
            raise _NotUsed(reason)
        targets = Path(request.resources['atlas_targets'])
        own = atlas_name(request.resources['atlas'])
        if space != own and not places_in(space, targets).is_file():
            raise _NotUsed(
                f'the points of the atlas are known in {own} alone; a table '
                f'{places_in(space, targets).name} beside {targets} would hold them in {space}'
            )

    def _prepare(self, earlier: Earlier, space: str, frame: _Frame) -> GivenTransforms:
        """Return transforms of ITK between the template and the world of the image."""
        files = [Path(name) for name in earlier.transforms[space]]
        folder = self._request.folder / 'given'
        folder.mkdir(exist_ok=True)
        paths = [self._as_itk(path, folder) for path in files]
        if paths == files and not frame.moved:
            return GivenTransforms(space, files[0], files[1], files[0])
        forth, back = [paths[0]], [paths[1]]
        if frame.moved:
            forth.append(write_linear(frame.matrix, folder / 'to_image.mat'))
            back.insert(0, write_linear(np.linalg.inv(frame.matrix), folder / 'from_image.mat'))
        composed = [
            self._reader.compose(parts, folder / name)
            for parts, name in ((forth, 'to_atlas.h5'), (back, 'from_atlas.h5'))
        ]
        return GivenTransforms(space, composed[0], composed[1], files[0])

    @staticmethod
    def _as_itk(path: Path, folder: Path) -> Path:
        """Convert the coordinate fields of SimNIBS; others are transforms of ITK already."""
        if not path.name.endswith('.nii.gz'):
            return path
        field_path = folder / f'{path.name.removesuffix(".nii.gz")}_displacement.nii.gz'
        try:
            nib.save(displacement_field(open_volume(path, (4, 5))), field_path)
        except ImageError:
            raise
        except ValueError as error:
            raise _NotUsed(str(error)) from error
        return field_path

    def _take(
        self, what: str, kind: str, earlier: Earlier, files: Sequence[str], frame: _Frame
    ) -> None:
        uris = {path: uri for uri, path in earlier.uris.items()}
        for path in files:
            entry: dict[str, Any] = {'File': uris[path], 'What': what, 'Program': earlier.tool}
            if frame.likeness is not None:
                entry['Likeness'] = frame.likeness
            self.reused.append({**entry, 'SHA256': file_sha256(Path(path))})
        if frame.likeness is None and not source_sha256(files[0]):
            self.unchecked.append(kind)

    def _refuse(self, files: Sequence[str], error: Exception, instead: str) -> None:
        path = Path(files[0])
        reason = str(error).removesuffix(CURE).removeprefix(f'{path}: ').strip().rstrip('.')
        logger.warning(
            '%s: not used for %s: %s. %s anew.',
            path,
            self._request.properties.get('path'),
            reason,
            instead,
        )
        self.refused.append(f'{path.name}: {reason}')
