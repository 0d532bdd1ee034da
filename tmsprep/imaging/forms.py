"""The qform and the sform of a NIfTI header, on which files for neuronavigators depend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.imaging.scanner_frame import largest_shift, unit_qform

#: Up to this distance at the corners of the volume, in mm, the qform and the sform are one frame
#: for a navigator: less than the smallest voxel that is read. Headers that converters write with
#: both forms differ by rounding, up to 0.0002 mm in five public data sets.
MAX_APART_MM = 0.1

#: Entry of a sidecar to the attribute of `Forms` and the shape of its value.
_ENTRIES: dict[str, tuple[str, tuple[int, ...]]] = {
    'QformCode': ('qform_code', ()),
    'SformCode': ('sform_code', ()),
    'QformAffine': ('qform', (4, 4)),
    'SformAffine': ('sform', (4, 4)),
    'Quaternion': ('quaternion', (3,)),
    'QuaternionOffset': ('offset', (3,)),
    'PixelDimensions': ('pixdim', (4,)),
}


@dataclass(frozen=True, eq=False)
class Forms:
    """Both forms of a header, as they are in the file.

    Parameters
    ----------
    qform_code, sform_code : int
        NIfTI codes; 0 if the form is not in use.
    qform, sform : numpy.ndarray or None
        Shape (4, 4), voxel indices to mm, RAS+; None if the code is 0.
    quaternion, offset, pixdim : numpy.ndarray or None
        The numbers of the header that make the qform, shapes (3,), (3,) and (4,): b, c and d of
        the quaternion; the offset in mm; the handedness and the voxel sizes in mm. None if the
        code is 0.

    Examples
    --------
    >>> forms = Forms(0, 2, None, np.eye(4))
    >>> forms.in_use, forms.differ((9, 9, 9))
    (('sform', 2), False)
    """

    qform_code: int
    sform_code: int
    qform: np.ndarray | None = None
    sform: np.ndarray | None = None
    quaternion: np.ndarray | None = None
    offset: np.ndarray | None = None
    pixdim: np.ndarray | None = None

    @classmethod
    def of_header(cls, header: nib.Nifti1Header) -> Forms:
        """Read the forms of a header that `tmsprep.imaging.scanner_frame.scanner_affine` takes."""
        qcode, scode = int(header['qform_code']), int(header['sform_code'])
        sform = header.get_sform() if scode > 0 else None
        if qcode == 0:
            return cls(qcode, scode, None, sform)

        return cls(
            qcode,
            scode,
            unit_qform(header).get_qform(),
            sform,
            np.array([header[f'quatern_{axis}'] for axis in 'bcd'], dtype=np.float64),
            np.array([header[f'qoffset_{axis}'] for axis in 'xyz'], dtype=np.float64),
            np.array(header['pixdim'][:4], dtype=np.float64),
        )

    @classmethod
    def from_entries(cls, entries: Mapping[str, Any]) -> Forms | None:
        """Read what `entries` wrote into a sidecar; None if it is missing or makes no sense."""
        values: dict[str, Any] = {}
        for key, (name, shape) in _ENTRIES.items():
            if key not in entries:
                continue
            try:
                value = np.array(entries[key], dtype=np.float64)
            except (TypeError, ValueError):
                return None
            if value.shape != shape or not np.isfinite(value).all():
                return None
            values[name] = int(value) if shape == () else value
        codes = (values.get('qform_code', -1), values.get('sform_code', -1))
        there = ('qform' in values and 'quaternion' in values, 'sform' in values)
        if not all(code in range(6) for code in codes) or codes == (0, 0):
            return None
        if there != tuple(code > 0 for code in codes):
            return None
        return cls(**values)

    def entries(self) -> dict[str, Any]:
        """Return the forms JSON-ready, as entries of a sidecar; forms not in use have none."""
        found = {key: getattr(self, name) for key, (name, _) in _ENTRIES.items()}
        return {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in found.items()
            if value is not None
        }

    @property
    def in_use(self) -> tuple[str, int]:
        """The form that points are in, as in nibabel the sform if there is one; and its code."""
        return ('sform', self.sform_code) if self.sform_code > 0 else ('qform', self.qform_code)

    def apart_mm(self, shape: tuple[int, ...]) -> float:
        """Return the largest distance at the corners of the volume; 0 if one is not in use."""
        if self.qform is None or self.sform is None:
            return 0.0
        return largest_shift(self.qform, self.sform, shape)

    def differ(self, shape: tuple[int, ...]) -> bool:
        """Tell whether programs that use one or the other put a voxel in two places."""
        return self.apart_mm(shape) > MAX_APART_MM
