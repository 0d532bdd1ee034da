"""What the columns of the tables of protocol locus-coeruleus mean, for their sidecars."""

from __future__ import annotations

from typing import Any

DESCRIPTIONS = {
    'people': 'Who is in the group, what for, and what is missing or wrong',
    'errors': 'Distance of every localised point from the reference',
    'table1': 'Errors with and without augmentation, as in Table 1 of Duennwald et al. 2021',
    'augmentation': 'Effect of augmentation on the error, paired by person',
    'axes': 'Errors along each axis, as in section 3 of Duennwald et al. 2021',
    'constant': 'Error of an answer that looks at no image: the mean place of the other people',
    'overlaps': "Every segmentation beside the rater's mask",
    'segmentation': 'Dice and false discovery rate, as in Figure 2 of Duennwald et al. 2021',
    'icc': "Agreement of contrast ratios with those of the rater's masks, ICC(A,1), per fold",
    'icc_mean': 'The same, mean over folds, as in section 3 of Duennwald et al. 2021',
    'tests': 'Wilcoxon signed-rank tests, paired by person, which the paper leaves open',
}
"""Name of each table, ``coeruleus_<name>.tsv``, to what it holds."""


def _say(description: str, units: str = '', **levels: str) -> dict[str, Any]:
    return {
        'Description': description,
        **({'Units': units} if units else {}),
        **({'Levels': levels} if levels else {}),
    }


def _mm(description: str) -> dict[str, Any]:
    return _say(description, 'mm')


_WHO = {
    'source': _say(
        'Where it was measured',
        crossval='networks that did not train on the tested people',
        participant='outputs of the participant level; its network may know these people',
    ),
    'image': _say('Name of the image without its suffix'),
    'participant': _say('The participant'),
    'role': _say("Number of the fold that the person validates, or 'held out'"),
    'fold': _say('Number of the fold whose networks were used; n/a for the participant level'),
    'augmentation': _say(
        'How the localizer was trained; n/a for the participant level',
        **{'with': 'on images turned, shifted and scaled at random', 'without': 'as they are'},
    ),
    'label': _say('Name of the target'),
    'method': _say(
        'How it was segmented',
        npp='sliding window, a label where its probability is over 0.5',
        pp='the same with post-processing',
        lpp="one patch at the localizer's points",
    ),
    'hemisphere': _say('Side of the participant, L or R; both is both sides, twice the rows'),
    'status': _say('What is known about the segmentation'),
    'points': _say('Number of localised points with a known error'),
    'outcome': _say(
        'How it went',
        **{
            'measured': 'tested',
            'trained on': 'trained on or validated with, and not tested',
            'missing': 'in the data set, but in no table',
            'failed': 'something is wrong; the message says what',
        },
    ),
    'message': _say('What is wrong or missing'),
}
_ERRORS = {
    'dx_mm': _mm('Error towards the right'),
    'dy_mm': _mm('Error towards the front'),
    'dz_mm': _mm('Error towards the top'),
    'error_mm': _mm('Distance from the reference'),
    'error_vx': _say('The same in voxels'),
    'mean_mm': _mm('Mean error'),
    'sd_mm': _mm('Standard deviation of the sample'),
    'mean_vx': _say('Mean error in voxels'),
    'sd_vx': _say('Standard deviation in voxels'),
    'with_mm': _mm('Mean error with augmentation, over people'),
    'without_mm': _mm('Mean error without augmentation, over people'),
    'ratio': _say('With over without: 0.5 is half'),
    'difference_mm': _mm('With less without'),
    'ci_low_mm': _mm('Lower end of the 95 % confidence interval, by bootstrap over people'),
    'ci_high_mm': _mm('Upper end of the 95 % confidence interval, by bootstrap over people'),
    'axis': _say('sagittal: to the right; coronal: to the front; axial: to the head'),
    'mse_mm2': _say('Mean squared error, which the paper gives in mm', 'mm^2'),
    'sd_mm2': _say('Standard deviation of the squared errors', 'mm^2'),
    'mae_mm': _mm('Mean absolute error'),
    'bias_mm': _mm('Mean signed error'),
}
_SEGMENTS = {
    'dice': _say("Dice similarity with the rater's mask; n/a if both are empty"),
    'fdr': _say("Share of the labelled voxels that are not in the rater's mask; n/a if none are"),
    'volume_mm3': _say('Volume of what was labelled', 'mm^3'),
    'cr_median': _say('Its median intensity over the reference in the pons'),
    'cr_maximum': _say('Its maximum intensity over the reference in the pons'),
    'manual_volume_mm3': _say("Volume of the rater's mask", 'mm^3'),
    'manual_cr_median': _say('Its median intensity over the reference in the pons'),
    'manual_cr_maximum': _say('Its maximum intensity over the reference in the pons'),
    'seconds': _say('Time for both sides; for lpp with the localisation', 's'),
    'measure': _say('Which measure the row is about'),
    **{name: _say(name.capitalize()) for name in ('minimum', 'median', 'maximum', 'mean')},
    'quartile1': _say('First quartile'),
    'quartile3': _say('Third quartile'),
    'undefined': _say('Number of values, or of folds, that are not defined and left out'),
    'icc': _say('Intraclass correlation of absolute agreement, single measurement, ICC(A,1)'),
    'ci_low': _say('Lower end of its 95 % confidence interval'),
    'ci_high': _say('Upper end of its 95 % confidence interval'),
    'missing': _say('Number of rows that lack a value'),
    'lowest': _say('Lowest of the folds'),
    'highest': _say('Highest of the folds'),
    'folds': _say('Number of folds with an ICC'),
}
_TESTS = {
    'family': _say('Measure; its tests are corrected together'),
    'first': _say('The first way of training, or method'),
    'second': _say('The second one'),
    'mean_first': _say('Mean of the first over people, folds averaged per person'),
    'mean_second': _say('Mean of the second over people, folds averaged per person'),
    'difference': _say('First less second'),
    'n': _say('Number of values; in tests, of people with both'),
    'people': _say('Number of people with a value'),
    'z': _say('z of the Wilcoxon test; negative: the first is smaller'),
    'effect': _say('Rank-biserial correlation; negative: the first is smaller'),
    'p': _say('Wilcoxon signed-rank test, two-sided, normal approximation'),
    'p_holm': _say('p after the correction of Holm'),
    'stars': _say('* p_holm < 0.05, ** < 0.01, *** < 0.001'),
    'reason': _say('Why something is missing'),
}
COLUMNS: dict[str, dict[str, Any]] = {**_WHO, **_ERRORS, **_SEGMENTS, **_TESTS}
"""Every column of every table."""
