"""One image without a data set: a NIfTI file, or the DICOM files of an examination."""

from tmsprep.intake.source import IntakeError, Kind, kind_of

__all__ = ['IntakeError', 'Kind', 'kind_of']
