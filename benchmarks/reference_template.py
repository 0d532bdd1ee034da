"""Make the tables of the template that `reference` starts from: regions, and targets on crowns.

``python benchmarks/reference_template.py DATA WORK`` with DATA as for `reference`: twelve training
participants, their brains cut out exactly with their parcellations, are registered to the default
atlas. The landmarks are means of those of their parcellations, and the targets lie on the crowns
of the labels that most of them and of their mirror images have. WORK keeps the transforms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.formats.targets_tsv import write_tsv
from tmsprep.imaging.conform import as_image, conform, resample_mask
from tmsprep.imaging.read import load_nifti, read_image
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import Atlas, default_atlas
from tmsprep.registration.syn import register
from tmsprep.registration.transforms import warp_image

from reference_parts.landmarks import OTHER_PLACES, PLACES, template_places
from reference_parts.regions import (
    TABLE,
    Parcellation,
    landmarks,
    majority,
    mean_landmarks,
    parcellation_path,
)

#: Number of participants, evenly spaced in the list of those of the training set.
PARTICIPANTS = 12


def labels_in_template(name: str, data: Path, work: Path, atlas: Atlas) -> np.ndarray:
    """Return the labels of a participant on the grid of the template, uint8."""
    image = conform(read_image(data / name / 'anat' / f'{name}_T1w.nii.gz'))
    segmentation = load_nifti(parcellation_path(data, name))
    labels = np.asanyarray(segmentation.dataobj)
    transform = work / name / 'syn_Composite.h5'
    if not transform.is_file():
        mask = resample_mask(as_image((labels > 0).astype(np.uint8), segmentation.affine), image)
        transform = register(image, atlas, work_dir=work / name, mask=mask).to_atlas
    upright = nib.as_closest_canonical(segmentation)
    moving = as_image(np.asanyarray(upright.dataobj).astype(np.float32), upright.affine)
    warped = warp_image(moving, transform, atlas.image, 'nearestNeighbor')
    return np.rint(np.asanyarray(warped.dataobj)).astype(np.uint8)


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('work', type=Path)
    options = parser.parse_args()
    protocol = load_protocol('tms')
    atlas = default_atlas(protocol)
    split = pd.read_csv(options.data / 'split.tsv', sep='\t', dtype=str)
    train = split.loc[split['split'] == 'train', 'participant_id'].tolist()
    chosen = np.linspace(0, len(train) - 1, PARTICIPANTS).round().astype(int)
    volumes = [labels_in_template(train[i], options.data, options.work, atlas) for i in chosen]
    affine = atlas.image.affine
    people = [landmarks(Parcellation.make(v.astype(np.int16), affine)) for v in volumes]
    mean_landmarks(people).to_csv(TABLE, sep='\t')
    template = Parcellation.make(majority(volumes).astype(np.int16), affine)
    for path, other in ((PLACES, False), (OTHER_PLACES, True)):
        points = PointSet.from_mapping(template_places(template, other=other))
        write_tsv(path, points.reindex(protocol.labels))


if __name__ == '__main__':
    main()
