"""Typical faults of clinical images, one at a time, at three strengths.

Written independently of the training augmentation (`tmsprep.methods.baxter2021`), so that results
on these images do not depend on the code that made the training images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corruptions import coverage, intensities, position
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
