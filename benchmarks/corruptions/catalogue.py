"""Typical faults of clinical images, one at a time, at three strengths.

Written independently of the training augmentation (`tmsprep.methods.baxter2021`), so that results
on these images do not depend on the code that made the training images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corruptions import coverage, intensities, position, unfit
from corruptions.scan import Corrupted, Scan

STRENGTHS = ('low', 'middle', 'strong')


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Parameters
    ----------
    name : str
        Short name.
    meaning : str
        Meaning of `values`; details are in the docstring of `apply`.
    unit : str
        Unit of `values`, may be empty.
    values : tuple of float
        Low, middle and strong values, or the middle one alone.
    apply : callable
        Function of a scan, a value and a seed that returns the corrupted scan.
    """

    name: str
    meaning: str
    unit: str
    values: tuple[float, ...]
    apply: Callable[[Scan, float, int], Corrupted]

    @property
    def strengths(self) -> tuple[str, ...]:
        """Names of the `values`."""
        return STRENGTHS if len(self.values) > 1 else ('middle',)

    def value(self, strength: str) -> float:
        """Return the value for 'low', 'middle' or 'strong'."""
        return self.values[self.strengths.index(strength)]


#: All corruptions by name. The values are not taken from a publication.
CORRUPTIONS = {
    corruption.name: corruption
    for corruption in (
        Corruption(
            'contrast',
            'exponent, or its inverse',
            '',
            (1.25, 1.6, 2.2),
            intensities.change_contrast,
        ),
        Corruption(
            'bias field',
            'highest to lowest gain in the brain',
            'x',
            (1.5, 2.0, 3.0),
            intensities.add_bias_field,
        ),
        Corruption(
            'noise', 'sd, of the median of the brain', '%', (5, 10, 20), intensities.add_noise
        ),
        Corruption('blur', 'full width at half maximum', 'mm', (3, 4.5, 6), intensities.blur),
        Corruption('thick slices', 'slice thickness', 'mm', (3, 4, 6), coverage.thicken_slices),
        Corruption(
            'cropped view',
            'kept beyond the brain',
            'mm',
            (20, 5, -10),
            coverage.crop_field_of_view,
        ),
        Corruption('defacing', 'kept beyond the brain', 'mm', (15, 5, -5), coverage.deface),
        Corruption(
            'skull-stripping', 'mask larger by', 'voxel', (0, 1, -1), intensities.strip_skull
        ),
        Corruption('rotation', 'angle', '°', (10, 20, 30), position.rotate),
        Corruption('shift', 'distance', 'mm', (10, 20, 40), position.shift),
        Corruption('scale', 'larger or smaller by', '%', (5, 10, 15), position.resize),
        Corruption('mirror', 'left for right', '', (1,), position.mirror),
        Corruption(
            'missing corners', 'kept beyond the brain', 'mm', (20, 5, -5), coverage.remove_corners
        ),
    )
}

#: Images whose points should be flagged, by name; see `corruptions.unfit`.
UNFIT = {
    corruption.name: corruption
    for corruption in (
        Corruption('noise only', 'sd of the smoothing', 'voxel', (0, 1.5, 4), unfit.noise),
        Corruption('chequerboard', 'edge of a field', 'voxel', (1, 4, 16), unfit.chequerboard),
        Corruption('bright dot', 'edge', 'voxel', (1, 3, 10), unfit.dot),
        Corruption('no head', 'sphere, bottle, limb', '', (1, 2, 3), unfit.shape),
        Corruption('inverted', 'share', '', (0.75, 0.9, 1), unfit.invert),
        Corruption('T2w', 'share', '', (0.75, 0.9, 1), unfit.t2_like),
        Corruption('FLAIR', 'share', '', (0.5, 0.8, 1), unfit.flair_like),
        Corruption('CT', 'noise', '', (0.05, 0.1, 0.2), unfit.ct_like),
        Corruption('half a head', 'share lost', '', (0.25, 0.4, 0.5), unfit.half_head),
        Corruption('cut by the view', 'of the brain', 'mm', (5, 15, 30), unfit.cut_view),
        Corruption('wrap-around', 'shift', 'mm', (30, 60, 100), unfit.wrap),
        Corruption('ghosts', 'amplitude', '', (0.3, 0.6, 1), unfit.ghosts),
        Corruption(
            'hemisphere missing', 'share of it', '', (0.5, 0.75, 1), unfit.without_hemisphere
        ),
        Corruption('large lesion', 'radius', 'mm', (20, 35, 50), unfit.lesion),
        Corruption('lost slices', 'of the brain', 'mm', (10, 20, 30), unfit.lost_slices),
        Corruption(
            'mixed slices', 'reversed, interleaved, swapped', '', (1, 2, 3), unfit.mixed_slices
        ),
        Corruption('turned header', 'angle', '°', (60, 90, 180), unfit.turn),
        Corruption('reflected header', 'up, front, both', '', (1, 2, 3), unfit.exchange_axes),
        Corruption('hot voxels', 'edge', 'voxel', (1, 3, 9), unfit.hot_voxels),
        Corruption('padding', 'of the view', '%', (1, 3, 12), unfit.padding),
        Corruption('noisy air', 'of the bright tissue', '', (0.6, 0.8, 1), unfit.noisy_air),
        Corruption('wrong voxel size', 'longer by', '%', (20, 30, 40), unfit.stretch),
        Corruption('infant-sized', 'factor', '', (0.75, 0.65, 0.55), unfit.small_head),
        Corruption('huge head', 'factor', '', (1.2, 1.35, 1.5), unfit.small_head),
        Corruption(
            'heavy noise',
            'sd, of the median of the brain',
            '%',
            (50, 100, 200),
            intensities.add_noise,
        ),
    )
}
