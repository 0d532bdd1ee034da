"""What all images of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tmsprep.bids import T1wImage, derivative_path
from tmsprep.config import RunConfig
from tmsprep.files import file_sha256
from tmsprep.networks.archive import WeightsError
from tmsprep.protocols import load_protocol
from tmsprep.registration.names import DEFAULT_ATLAS, USER_ATLAS


@dataclass(frozen=True)
class RunResources:
    """Files that every image of a run needs.

    Parameters
    ----------
    labels : tuple of str
        Targets of the protocol.
    weights : Path
        Localiser weights.
    weights_sha256 : str
        Their checksum.
    brain_weights : Path
        Brain extraction weights.
    derivatives : tuple of Path
        Folders with masks and transforms made earlier.
    atlas_name : str
        As in the names of transforms.
    """

    labels: tuple[str, ...]
    weights: Path
    weights_sha256: str
    brain_weights: Path
    derivatives: tuple[Path, ...] = ()
    atlas_name: str = DEFAULT_ATLAS

    def given_mask(self, image: T1wImage) -> Path | None:
        """Find the brain mask that was made for an image earlier, or by someone else."""
        return self._find(image, suffix='mask', extension='.nii.gz', desc='brain')

    def given_transforms(self, image: T1wImage) -> list[str]:
        """Find both transforms of an earlier registration; an empty list unless both exist."""
        spaces = (('T1w', self.atlas_name), (self.atlas_name, 'T1w'))
        found = [
            self._find(
                image,
                suffix='xfm',
                extension='.h5',
                **{'from': start, 'to': end, 'mode': 'image'},
            )
            for start, end in spaces
        ]
        return [str(path) for path in found] if all(found) else []

    def _find(self, image: T1wImage, **name: str) -> Path | None:
        for folder in self.derivatives:
            path = derivative_path(folder, image, **name)
            for candidate in (path, folder / path.name):
                if candidate.is_file():
                    return candidate
        return None


def gather_resources(config: RunConfig) -> RunResources:
    """Find the files that a run needs, before anything is computed.

    Raises
    ------
    WeightsError
        If a weights file is missing.
    """
    data = Path(str(files('tmsprep.data')))
    labels = load_protocol(config.protocol).labels
    weights = config.weights or data / 'localizer_tms.safetensors'
    brain_weights = data / 'brain_extraction.safetensors'
    needed = {'cnn': weights, 'syn': brain_weights}
    for path in (needed[localizer] for localizer in config.localizers):
        if not path.is_file():
            raise WeightsError(f'weights file not found: {path}')
    checksum = file_sha256(weights) if 'cnn' in config.localizers else ''
    return RunResources(
        labels,
        weights,
        checksum,
        brain_weights,
        config.derivatives,
        DEFAULT_ATLAS if config.atlas is None else USER_ATLAS,
    )
