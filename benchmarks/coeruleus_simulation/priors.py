"""What is drawn, in numbers, and where each is from; signals are relative to the pons.

"Chosen" means: no published figure was at hand, and the range was set wider than what the images
that were looked at show. No number was set on a result of a network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]

#: Centres of mass of the left and right locus coeruleus in MNI152, mm, RAS+: consensus of six
#: published masks, in Mäki-Marttunen and Espeseth 2021, NeuroImage 224:117409. Their MNI is that
#: of FSL, ours ICBM 2009a; brainstems of the two differ by 1 to 2 mm.
PUBLISHED_CENTRES = np.array([[-5.65, -38.8, -27.9], [5.44, -37.8, -26.8]])

#: The same in our template: there the published places touch the fluid of the fourth ventricle, in
#: which no nucleus lies. Moved to the front by 1.25 mm, which on seven heads halved the median
#: way that nuclei had to be moved to lie half a millimetre deep in tissue, from 1.5 to 0.75 mm.
CENTRES = PUBLISHED_CENTRES + np.array([0.0, 1.25, 0.0])

#: Direction from the lower to the upper end on the right, template: along the floor of the
#: fourth ventricle, and towards the midline (Fernandes et al. 2012, Surg Radiol Anat 34:879-885);
#: that of the nuclei in ``tmsprep.phantoms.neuromelanin``.
DIRECTION = np.array([-2.2, 2.5, 13.0]) / np.linalg.norm([2.2, 2.5, 13.0])

#: Standard deviation of a participant's nucleus from where the registration puts it, along its
#: length and across, mm, and the correlation of the two sides: chosen. What is visible ends at
#: different heights, while depth and distance from the midline are tied to the floor.
ALONG, ACROSS, SIDES_AGREE = 1.75, 0.7, 0.5

#: Length in mm, between ends of half the signal: 12 to 17 mm under the microscope (Fernandes et
#: al. 2012), of which the ends are hard to see; the lower end of the range is chosen.
LENGTH: Range = (8.0, 16.0)

#: Thickness in mm: 2.0 to 2.5 mm in Fernandes et al. 2012, less where neurons are fewer.
THICKNESS: Range = (1.0, 2.5)

#: Width across the thickness, as a share of it: the section is not round (chosen).
FLATNESS: Range = (0.8, 1.25)

#: Share of one side's length and thickness that the other side may have (chosen).
UNEQUAL: Range = (0.85, 1.15)

#: Direction of a nucleus (standard deviation, as a share of its length) and furthest distance of
#: its middle from a straight line, mm (chosen).
TILT, BEND = 0.08, 1.0

#: Mean of a participant's two nuclei as raters measure it, over the core as it is drawn: raters
#: draw what is bright. Mean of the brighter half of the voxels of a nucleus in 133 simulated
#: images, after blur, slices and partial volume.
RATED_SHARE = 0.72

#: Least excess of the core of a nucleus that is drawn, pons 1 (chosen).
FAINTEST = 0.03

#: Ages in years, and how the excess signal depends on them: it rises until about 60 and falls
#: afterwards (Shibata et al. 2006, Magn Reson Med Sci 5:197-200; Betts et al. 2017).
AGES: Range = (20.0, 85.0)
AGE_KNOTS, AGE_SHARE = (20.0, 60.0, 85.0), (0.75, 1.0, 0.85)

#: Excess of the weaker side over that of the other (chosen), and share that is left at the ends.
#: In older participants the upper end fades more (Dahl et al. 2019, Nat Hum Behav 3:1203-1214):
#: this much of the range at 85 years.
WEAKER: Range = (0.5, 1.0)
ENDS: Range = (0.4, 1.0)
FADED_AT_85 = 0.5

#: Probability that nothing is to be seen of one side, and of both: 13 % of sides (chosen).
ONE_UNSEEN, BOTH_UNSEEN = 0.18, 0.04

#: Least contrast-to-noise ratio of a nucleus that can be seen, and the part of the image that is
#: measured, mm3, where the nucleus adds most: the lower end of the criterion of Rose (1948, J Opt
#: Soc Am 38:196-208; 3 to 5). A nucleus that is drawn is not seen where it is too faint or thin.
SEEN, SEEN_MM3 = 3.0, 8.0

#: The nucleus lies in tissue, about 1 mm under the floor of the fourth ventricle (Fernandes et al.
#: 2012): where the registration puts it into fluid, it is moved to the front by at most this, mm.
DEEPEST_MOVE = 3.0


@dataclass(frozen=True)
class SequenceClass:
    """Ranges of signals of one kind of sequence, relative to the pons.

    Parameters
    ----------
    fluid, grey, white : tuple of float
        Cerebrospinal fluid, grey matter, and white matter as bright as the brightest in a T1w.
    artery, vein : tuple of float
        Vessels; `bright_artery` is the probability that an artery is bright all the same.
    nigra : tuple of float
        Excess of the substantia nigra.
    coeruleus : tuple of float
        Mean and SD among participants of the excess of the locus coeruleus, as raters measure it.
    slices : tuple of float
        Thickness of slices, mm; 0.75 stands for isotropic voxels.
    outside : tuple of float
        Skull, muscle and fat: gain of the T1w.
    bright_artery : float
        Share of arteries that are bright.
    """

    fluid: Range
    grey: Range
    white: Range
    artery: Range
    vein: Range
    nigra: Range
    coeruleus: Range
    slices: Range
    outside: Range
    bright_artery: float


#: FLASH: Ernst equation with TR 20 ms, 23 degrees and T1 of 4, 1.33 and 0.83 s (Wansapura et al.
#: 1999, J Magn Reson Imaging 9:531-538) gives fluid 0.36 and grey matter 0.80 of white matter;
#: blood that flows in is bright; voxels of 0.75 mm in Betts et al. 2017. MT-GRE: measured in an
#: open scan of KCL_Neuromelanin-MRI (fluid 1.15 to 1.85, cerebellum 1.26, temporal lobe 0.9 to
#: 1.15, tegmentum 1.05 to 1.2, arteries 0.12 to 0.16, nigra 0.25 to 0.33 above the crus, noise 2
#: to 3 %, slices of 2.2 mm), widened. TSE, T1-weighted (Sasaki et al.
#: 2006, NeuroReport 17:1215-1218): flow voids, slices of 2.5 to 3 mm; its fluid is chosen wide, as
#: flow changes it. Locus coeruleus: TSE 0.138 (SD 0.044), MT-GRE 0.215 (0.031, widened; Trujillo
#: et al. 2019, NeuroImage 200:191-198, 26 people of 41 years) and TSE 0.139 (0.038; Tona et al.
#: 2017, Brain Struct Funct 222:4203-4217); no mean for FLASH was at hand, so it is that of TSE.
CLASSES = {
    'flash': SequenceClass(
        fluid=(0.2, 0.5),
        grey=(0.75, 0.92),
        white=(1.0, 1.08),
        artery=(1.1, 1.9),
        vein=(0.8, 1.3),
        nigra=(0.02, 0.15),
        coeruleus=(0.139, 0.05),
        slices=(0.75, 1.0),
        outside=(0.5, 1.2),
        bright_artery=1.0,
    ),
    'mt-gre': SequenceClass(
        fluid=(0.9, 1.9),
        grey=(0.95, 1.25),
        white=(0.92, 1.12),
        artery=(0.05, 0.5),
        vein=(0.6, 1.2),
        nigra=(0.08, 0.33),
        coeruleus=(0.215, 0.05),
        slices=(0.75, 3.0),
        outside=(0.7, 1.5),
        bright_artery=0.15,
    ),
    'tse': SequenceClass(
        fluid=(0.5, 1.4),
        grey=(0.92, 1.1),
        white=(0.92, 1.05),
        artery=(0.05, 0.4),
        vein=(0.3, 1.1),
        nigra=(0.03, 0.2),
        coeruleus=(0.139, 0.044),
        slices=(1.5, 3.0),
        outside=(0.7, 1.5),
        bright_artery=0.05,
    ),
}

#: Noise (SD in the acquired voxels, pons 1): 2 to 3 % in the open scan, widened.
NOISE: Range = (0.01, 0.05)

#: Width (SD) of the blur by motion, mm; coil field that a correction leaves, as the SD of its
#: logarithm at the edge of 30 mm; probability and size of ghosts of pulsating fluid along the
#: phase direction, as a share of its signal, and how far they are from it, mm (chosen).
BLUR: Range = (0.0, 0.5)
SHADING = 0.06
GHOST_CHANCE, GHOST, GHOST_MM = 0.3, (0.03, 0.2), (4.0, 14.0)

#: Texture of tissue: width (SD, mm) of its grains, and SD of the signal: fine, as bases of 1 to
#: 2 mm lack it, and coarse, as fibres differ (chosen on the open scans).
FINE_MM, FINE = (0.4, 1.0), (0.0, 0.025)
COARSE_MM, COARSE = (1.5, 4.0), (0.0, 0.03)

#: Excess of the rim of fluid, at its brightest: ependyma, and flow into the slice (chosen).
RIM: Range = (-0.1, 0.25)

#: Small vessels: expected number within 20 mm of either nucleus, least distance of their
#: centreline from that of a nucleus, length and thickness, mm (chosen).
VESSELS, CLEARANCE = 6.0, 3.0
VESSEL_LENGTH: Range = (4.0, 20.0)
VESSEL_WIDTH: Range = (0.6, 2.2)
NEAR_MM = 20.0

#: Other structures of the template's right side, mm (measured on the template): nigra (front and
#: medial, back and lateral; height of the band), root of the trigeminal nerve, from the pons
#: outwards; tegmentum, basilar artery, and superior medullary velum, from one end to the other.
#: Sizes are along both widths, mm; the excess of the tegmentum is that of the open scan, widened.
NIGRA = np.array([[6.0, -14.0, -12.0], [13.0, -22.0, -11.0]])
NIGRA_SIZE = (3.0, 6.5)
TRIGEMINAL = np.array([[13.0, -27.0, -33.0], [20.0, -18.0, -31.0]])
TEGMENTUM = np.array([[0.0, -34.0, -46.0], [0.0, -30.0, -14.0]])
TEGMENTUM_SIZE, TEGMENTUM_EXCESS = (9.0, 20.0), (-0.02, 0.15)
BASILAR = np.array([[0.0, -17.0, -46.0], [0.0, -9.0, -20.0]])
VELUM = np.array([[0.0, -43.5, -21.0], [0.0, -47.5, -30.0]])
