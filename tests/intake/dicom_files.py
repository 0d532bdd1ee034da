"""Write DICOM files of a made-up study, as PS3.5 encodes them (explicit, little endian)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

LONG = ('OB', 'OW', 'SQ', 'UN')
EXPLICIT_LITTLE = '1.2.840.10008.1.2.1'
MR_STORAGE = '1.2.840.10008.5.1.4.1.1.4'
ROOT = '1.2.826.0.1.3680043.8.498'

#: Keyword to tag and value representation (PS3.6).
TAGS = {
    'ImageType': (0x0008, 0x0008, 'CS'),
    'SOPClassUID': (0x0008, 0x0016, 'UI'),
    'SOPInstanceUID': (0x0008, 0x0018, 'UI'),
    'StudyDate': (0x0008, 0x0020, 'DA'),
    'AcquisitionTime': (0x0008, 0x0032, 'TM'),
    'Modality': (0x0008, 0x0060, 'CS'),
    'Manufacturer': (0x0008, 0x0070, 'LO'),
    'InstitutionName': (0x0008, 0x0080, 'LO'),
    'StudyDescription': (0x0008, 0x1030, 'LO'),
    'SeriesDescription': (0x0008, 0x103E, 'LO'),
    'PatientName': (0x0010, 0x0010, 'PN'),
    'PatientID': (0x0010, 0x0020, 'LO'),
    'PatientBirthDate': (0x0010, 0x0030, 'DA'),
    'PatientComments': (0x0010, 0x4000, 'LT'),
    'ContrastBolusAgent': (0x0018, 0x0010, 'LO'),
    'ScanningSequence': (0x0018, 0x0020, 'CS'),
    'SequenceVariant': (0x0018, 0x0021, 'CS'),
    'MRAcquisitionType': (0x0018, 0x0023, 'CS'),
    'SliceThickness': (0x0018, 0x0050, 'DS'),
    'RepetitionTime': (0x0018, 0x0080, 'DS'),
    'EchoTime': (0x0018, 0x0081, 'DS'),
    'InversionTime': (0x0018, 0x0082, 'DS'),
    'SpacingBetweenSlices': (0x0018, 0x0088, 'DS'),
    'ProtocolName': (0x0018, 0x1030, 'LO'),
    'FlipAngle': (0x0018, 0x1314, 'DS'),
    'PatientPosition': (0x0018, 0x5100, 'CS'),
    'StudyInstanceUID': (0x0020, 0x000D, 'UI'),
    'SeriesInstanceUID': (0x0020, 0x000E, 'UI'),
    'SeriesNumber': (0x0020, 0x0011, 'IS'),
    'AcquisitionNumber': (0x0020, 0x0012, 'IS'),
    'InstanceNumber': (0x0020, 0x0013, 'IS'),
    'ImagePositionPatient': (0x0020, 0x0032, 'DS'),
    'ImageOrientationPatient': (0x0020, 0x0037, 'DS'),
    'FrameOfReferenceUID': (0x0020, 0x0052, 'UI'),
    'ImageComments': (0x0020, 0x4000, 'LT'),
    'SamplesPerPixel': (0x0028, 0x0002, 'US'),
    'PhotometricInterpretation': (0x0028, 0x0004, 'CS'),
    'Rows': (0x0028, 0x0010, 'US'),
    'Columns': (0x0028, 0x0011, 'US'),
    'PixelSpacing': (0x0028, 0x0030, 'DS'),
    'BitsAllocated': (0x0028, 0x0100, 'US'),
    'BitsStored': (0x0028, 0x0101, 'US'),
    'HighBit': (0x0028, 0x0102, 'US'),
    'PixelRepresentation': (0x0028, 0x0103, 'US'),
    'PixelData': (0x7FE0, 0x0010, 'OW'),
}

#: What identifies the patient of the study, in the fields where clinics have it.
PATIENT = {
    'PatientName': 'Musterfrau^Erika',
    'PatientID': 'KLINIK4711',
    'PatientBirthDate': '19570831',
    'PatientComments': 'Tochter von Musterfrau',
    'ImageComments': 'Frau Musterfrau unruhig',
    'InstitutionName': 'Klinikum Musterstadt',
    'StudyDescription': 'Schaedel Musterfrau',
    'StudyDate': '20260131',
}

#: An MPRAGE as Siemens writes it.
MPRAGE = {
    'SeriesDescription': 't1_mprage_sag',
    'ProtocolName': 't1_mprage_sag',
    'ImageType': 'ORIGINAL\\PRIMARY\\M\\ND\\NORM',
    'MRAcquisitionType': '3D',
    'ScanningSequence': 'GR\\IR',
    'SequenceVariant': 'SK\\SP\\MP',
    'RepetitionTime': '2300',
    'EchoTime': '2.98',
    'InversionTime': '900',
    'FlipAngle': '9',
}


def write_series(
    folder: Path,
    number: int,
    fields: Mapping[str, object],
    shape: tuple[int, int, int] = (12, 12, 24),
    spacing: tuple[float, float, float] = (8.0, 8.0, 4.0),
    voxels: np.ndarray | None = None,
) -> None:
    """Write one axial series, a file per slice, whose first voxel is at (0, 0, 0) of the scanner.

    Parameters
    ----------
    voxels : numpy.ndarray, optional
        Columns x rows x slices, uint16: to the left, to the back and upwards. They count up if not
        given.
    """
    if voxels is None:
        voxels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape, order='F')
    columns, rows, slices = voxels.shape
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(slices):
        content = {
            'SOPClassUID': MR_STORAGE,
            'SOPInstanceUID': f'{ROOT}.{number}.{index + 1}',
            'StudyInstanceUID': f'{ROOT}.9',
            'SeriesInstanceUID': f'{ROOT}.{number}',
            'FrameOfReferenceUID': f'{ROOT}.8',
            'Modality': 'MR',
            'Manufacturer': 'SIEMENS',
            'AcquisitionTime': '101500',
            **PATIENT,
            'PatientPosition': 'HFS',
            'SeriesNumber': str(number),
            'AcquisitionNumber': '1',
            'InstanceNumber': str(index + 1),
            'ImagePositionPatient': f'0\\0\\{index * spacing[2]}',
            'ImageOrientationPatient': '1\\0\\0\\0\\1\\0',
            'SliceThickness': str(spacing[2]),
            'SpacingBetweenSlices': str(spacing[2]),
            'PixelSpacing': f'{spacing[1]}\\{spacing[0]}',
            **fields,
            'SamplesPerPixel': 1,
            'PhotometricInterpretation': 'MONOCHROME2',
            'Rows': rows,
            'Columns': columns,
            'BitsAllocated': 16,
            'BitsStored': 16,
            'HighBit': 15,
            'PixelRepresentation': 0,
            'PixelData': voxels[:, :, index].tobytes(order='F'),
        }
        (folder / f'{number}_{index:03}.dcm').write_bytes(encode(content))


def encode(content: Mapping[str, object]) -> bytes:
    """Encode a data set with its file meta information (PS3.10)."""
    meta = (
        _element(0x0002, 0x0002, 'UI', MR_STORAGE)
        + _element(0x0002, 0x0003, 'UI', f'{ROOT}.1')
        + _element(0x0002, 0x0010, 'UI', EXPLICIT_LITTLE)
    )
    length = _element(0x0002, 0x0000, 'UL', struct.pack('<I', len(meta)))
    body = b''.join(
        _element(*TAGS[name], content[name]) for name in sorted(content, key=TAGS.__getitem__)
    )
    return b'\0' * 128 + b'DICM' + length + meta + body


def _element(group: int, element: int, kind: str, value: object) -> bytes:
    data = value if isinstance(value, bytes) else _text_or_number(kind, value)
    if len(data) % 2:
        data += b'\0' if kind == 'UI' else b' '
    size = struct.pack('<HI', 0, len(data)) if kind in LONG else struct.pack('<H', len(data))
    return struct.pack('<HH', group, element) + kind.encode() + size + data


def _text_or_number(kind: str, value: object) -> bytes:
    return struct.pack('<H', value) if kind == 'US' else str(value).encode()
