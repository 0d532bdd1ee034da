from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.interfaces.derivatives import WriteDerivatives
from tmsprep.protocols import load_protocol

IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))


def test_image_replaced_between_methods(tmp_path: Path) -> None:
    """Methods on different grids read the image one after the other."""
    properties = {'path': str(IMAGE.path), 'shape': [2, 2, 2], 'affine': np.eye(4).tolist()}
    for name in 'ab':
        content = {**properties, 'sha256': 64 * name}
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    common = {
        'methods': [],
        'image': IMAGE,
        'layout': Layout(tmp_path / 'out', 'tms'),
        'protocol': load_protocol('tms'),
        'properties': tmp_path / 'a.json',
        'random_seed': 1,
    }
    WriteDerivatives(**common, properties_again=tmp_path / 'a.json').run(cwd=tmp_path)
    with pytest.raises(ValueError, match=r'sub-01_T1w\.nii\.gz: the file was replaced while'):
        WriteDerivatives(**common, properties_again=tmp_path / 'b.json').run(cwd=tmp_path)
