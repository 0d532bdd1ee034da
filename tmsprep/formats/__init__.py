"""Points in files: the tables of tmsprep and the formats of other programs."""

from tmsprep.formats.parsing import PointsFileError
from tmsprep.formats.points_file import read_points, write_points

__all__ = ['PointsFileError', 'read_points', 'write_points']
