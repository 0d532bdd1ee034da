"""The scanner frame of a NIfTI header, or the reason why it has none."""

from __future__ import annotations

import logging
from itertools import product

import nibabel as nib
import numpy as np

#: How far apart qform and sform may be before it matters which of them the neuronavigator used:
#: less than half a usual voxel, and less than the precision with which a coil is oriented.
MAX_SHIFT_MM = 1.0
MAX_TURN_DEGREES = 1.0
#: Largest shear that is taken for rounding; scanners produce none.
MAX_SHEAR_DEGREES = 0.1
#: Voxel sizes outside this range mean that the unit is not mm, or that the image shows no head.
VOXEL_SIZES_MM = (0.1, 10.0)
#: Largest field of view: 600 mm along each axis, as wide as the bore of a scanner. A larger one
#: would take gigabytes on the isotropic grid, however few voxels the file has.
MAX_VIEW_LITRES = 216.0
#: NIfTI codes of template frames: Talairach, MNI152, another template.
TEMPLATE_CODES = (3, 4, 5)
#: NIfTI codes of units of length other than mm (2), and what they mean; 0 is taken for mm, as all
#: programs do.
OTHER_UNITS = {1: 'metres', 3: 'micrometres'}
#: What writes the unit into a header.
MILLIMETRES = (
    "python -c \"import nibabel as n; i = n.load('FILE'); i.header.set_xyzt_units(2); "
    "i.to_filename('OUT.nii.gz')\""
)
#: A unit quaternion is stored as three of its four numbers, rounded to float32; the fourth is what
#: is missing to length 1. Of public data sets some store lengths of 1 and a few steps, others of
#: up to 1.0001. The fourth number is then 0, a half turn; the rounding may have hidden one of
#: 0.015, so that the turn is uncertain by 1.6 degrees, which a sform would show.
MAX_QUATERNION = 1.00011

logger = logging.getLogger(__name__)


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the cure."""


def scanner_affine(
    header: nib.Nifti1Header, shape: tuple[int, int, int], name: str
) -> tuple[np.ndarray, int]:
    """Return the affine of an image if its header is unambiguous.

    NIfTI stores two matrices from voxels to mm, the qform (a rotation and voxel sizes) and the
    sform (any matrix), each with a code that is 0 if it is not in use. As in nibabel, the sform
    is used if its code is not 0, else the qform. Where both are in use they must agree, because
    programs differ in which one they use, and a neuronavigator may use the other one.

    Parameters
    ----------
    header : nibabel.Nifti1Header
        Header as it is in the file.
    shape : tuple of int
        Numbers of voxels along the three axes.
    name : str
        File name for messages.

    Returns
    -------
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    code : int
        Its NIfTI code, 1 for the scanner frame.

    Raises
    ------
    ImageError
        If the header gives another unit than mm, if a code is unknown or both are 0, if the
        matrices differ by more than `MAX_SHIFT_MM` at a corner of the volume or by more than
        `MAX_TURN_DEGREES`, or if a matrix in use is not finite, singular, sheared, has voxel sizes
        outside `VOXEL_SIZES_MM`, or gives a field of view of more than `MAX_VIEW_LITRES`.
    """
    _check_unit(header, name)
    qcode, scode = _codes(header, name)
    affines = {}
    if qcode > 0:
        affines['qform'] = _qform(header, name)
    if scode > 0:
        affines['sform'] = header.get_sform()
    for which, affine in affines.items():
        _check_matrix(affine, which, name)
        _check_view(affine, shape, name)
    if len(affines) == 2:
        _check_agreement(affines['qform'], affines['sform'], shape, name)
    which, code = ('sform', scode) if scode > 0 else ('qform', qcode)
    if code in TEMPLATE_CODES:
        logger.warning(
            '%s: the header places the image in a template, not in the scanner (%s_code %d); the '
            'coordinates of the targets will be in the frame of that template.',
            name,
            which,
            code,
        )
    return affines[which].astype(np.float64), code


def unit_qform(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a copy of a header whose qform programs can read.

    A quaternion that is too long by rounding, up to `MAX_QUATERNION`, is made to have length 1,
    and the handedness in pixdim[0] is 1 where it is 0, as the standard says.
    """
    unit = header.copy()
    names = ('quatern_b', 'quatern_c', 'quatern_d')
    length = float(np.linalg.norm([np.float64(header[name]) for name in names]))
    if 1 < length <= MAX_QUATERNION:
        for name in names:
            unit[name] = np.float64(header[name]) / length
    if unit['pixdim'][0] == 0:
        unit['pixdim'][0] = 1
    return unit


def _check_unit(header: nib.Nifti1Header, name: str) -> None:
    """Refuse metres and micrometres, which some programs read as factors and others ignore."""
    code = int(header['xyzt_units']) % 8
    if code in OTHER_UNITS:
        raise ImageError(
            f'{name}: the unit of the header is {OTHER_UNITS[code]} (xyzt_units), by which some '
            'programs multiply and others do not, so points would lie elsewhere in them. If its '
            f'numbers are mm, as in most such files, write so: {MILLIMETRES}; else convert the '
            'DICOM files again (dcm2niix).'
        )


def _codes(header: nib.Nifti1Header, name: str) -> tuple[int, int]:
    """Return qform_code and sform_code, of which at least one is in use."""
    qcode, scode = int(header['qform_code']), int(header['sform_code'])
    for which, code in (('qform', qcode), ('sform', scode)):
        if code not in range(6):
            raise ImageError(
                f'{name}: {which}_code {code} in the header is not one of NIfTI (0 to 5). '
                f'If the {which} is the scanner frame: fslorient -set{which}code 1 FILE.'
            )
    if qcode == scode == 0:
        raise ImageError(
            f'{name}: qform_code and sform_code are both 0: no scanner frame in the header, so '
            'left and right are unknown. Convert the DICOM files again (dcm2niix), or, if you '
            'are sure of its orientation, set a code: fslorient -setsformcode 1 FILE.'
        )
    return qcode, scode


def _qform(header: nib.Nifti1Header, name: str) -> np.ndarray:
    try:
        return unit_qform(header).get_qform()
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise ImageError(
            f'{name}: the qform in the header is broken ({error}). If the sform is right, copy it '
            'over: fslorient -copysform2qform FILE; else convert the DICOM files again (dcm2niix).'
        ) from error


def _check_matrix(affine: np.ndarray, which: str, name: str) -> None:
    again = 'Convert the DICOM files again (dcm2niix), or use the image as the scanner wrote it.'
    if not np.isfinite(affine).all():
        raise ImageError(f'{name}: the {which} in the header is not finite. {again}')
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    smallest, largest = VOXEL_SIZES_MM
    # Volume of a voxel relative to a box with the same edges: 0 if flat.
    if not sizes.all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-3:
        raise ImageError(
            f'{name}: the {which} in the header cannot be inverted (all zero, or axes that lie in '
            f'one plane), so voxels have no position in mm. {again}'
        )
    if sizes.min() < smallest or sizes.max() > largest:
        found = ' x '.join(f'{size:.4g}' for size in sizes)
        raise ImageError(
            f'{name}: voxels of {found} mm by the {which}; a head needs {smallest:g} to '
            f'{largest:g} mm. If the header is not in mm, correct it. {again}'
        )
    shear = _shear_degrees(affine)
    if shear > MAX_SHEAR_DEGREES:
        raise ImageError(
            f'{name}: the {which} in the header has shear (axes {shear:.2f} degrees off the right '
            'angle), which programs read in different ways. Use the image before it was '
            'registered, or resample it to a grid without shear (e.g. nilearn resample_img).'
        )


def _check_view(affine: np.ndarray, shape: tuple[int, int, int], name: str) -> None:
    view = np.linalg.norm(affine[:3, :3], axis=0) * shape
    if view.prod() / 1e6 > MAX_VIEW_LITRES:
        found = ' x '.join(f'{length:.0f}' for length in view)
        raise ImageError(
            f'{name}: a field of view of {found} mm is too large for a head. If the header is not '
            'in mm, correct it; else crop the image to the head (e.g. robustfov -i FILE -r OUT).'
        )


def _shear_degrees(affine: np.ndarray) -> float:
    """Return the largest deviation of two axes from 90 degrees."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))


def _check_agreement(
    qform: np.ndarray, sform: np.ndarray, shape: tuple[int, int, int], name: str
) -> None:
    shift = largest_shift(qform, sform, shape)
    turn = _turn_degrees(qform, sform)
    if shift > MAX_SHIFT_MM or turn > MAX_TURN_DEGREES:
        raise ImageError(
            f'{name}: qform and sform in the header differ by up to {shift:.1f} mm and '
            f'{turn:.1f} degrees, and a neuronavigator may use either. Find out which frame it '
            'used and make them agree: fslorient -copysform2qform FILE, or -copyqform2sform.'
        )


def largest_shift(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the largest distance in mm between the places that two affines give a voxel.

    Parameters
    ----------
    one, other : numpy.ndarray
        Shape (4, 4), voxel indices to mm.
    shape : tuple of int
        Numbers of voxels along the three axes.
    """
    corners = np.array(list(product(*((0, n - 1) for n in shape[:3]), (1,))), dtype=float)
    # The difference of two affine maps is largest at a corner: (8, 4) @ (4, 3)
    return float(np.linalg.norm(corners @ (one - other).T[:, :3], axis=1).max())


def _turn_degrees(one: np.ndarray, other: np.ndarray) -> float:
    """Return the angle of the rotation between the axes of two matrices, 180 if mirrored."""
    axes = [m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0) for m in (one, other)]
    between = axes[0].T @ axes[1]
    if np.linalg.det(between) < 0:
        return 180.0
    # Near 0 degrees the trace loses half of its digits; the antisymmetric part does not.
    sine = np.linalg.norm(between - between.T) / np.sqrt(8)
    return float(np.degrees(np.arctan2(sine, (np.trace(between) - 1) / 2)))
