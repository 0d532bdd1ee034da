"""What the columns of the group's tables mean, for their sidecars."""

from __future__ import annotations

from typing import Any

from tmsprep.evaluation.status import STATUSES
from tmsprep.group.agreements import STATUSES as CONSENSUS_STATUSES
from tmsprep.group.raters import STATUSES as RATER_STATUSES

PREDICTED_STATUSES = {
    'ok': 'found',
    'no_reference': 'predicted by cross-validation, without a point to compare with',
    'failed': 'no point',
}


def _say(description: str, **levels: str) -> dict[str, Any]:
    return {'Description': description, **({'Levels': levels} if levels else {})}


def _mm(description: str) -> dict[str, str]:
    return {'Description': description, 'Units': 'mm'}


COLUMNS: dict[str, dict[str, Any]] = {
    'participant_id': _say('The participant'),
    'image': _say('Name of the T1w without its suffix'),
    'method': _say(
        'Who or what gave the point: cnn or syn (participant level), crossval-<residual layers> '
        '(cross-validation, with repetitions), ensemble-<residual layers> (the mean of its '
        'repetitions), rater-<name>, consensus (of the raters), expert (all raters, each against '
        'the consensus), expert-loo (each against the consensus of the others)'
    ),
    'repetition': _say('Number of the repetition of a cross-validation, from 1'),
    'label': _say('Name of the target; MEAN is over the targets for chronic pain, or all'),
    'x': _mm('Position towards the right'),
    'y': _mm('Position towards the front'),
    'z': _mm('Position towards the top'),
    'status': _say(
        'What is known about the point',
        **{**PREDICTED_STATUSES, **STATUSES, **RATER_STATUSES, **CONSENSUS_STATUSES},
    ),
    'dispersion_mm': _mm('Mean distance of the networks of an ensemble from their mean'),
    'error_mm': _mm("Distance from the raters' consensus"),
    'n_raters': _say('How many raters gave a usable point'),
    'agreeing': _say('The raters whose mean the consensus is; may be changed by a person'),
    'overridden': _say('Whether --agreement-overrides changed the row'),
    'largest_distance_mm': _mm('Largest distance between two raters, whether they agree or not'),
    'first': _say('The first method'),
    'second': _say('The second method'),
    'mean_mm': _mm('Mean'),
    'sd_mm': _mm('Standard deviation of the sample'),
    'median_mm': _mm('Median'),
    'n': _say('Number of values; in Tables 3 and 5 of people with both methods'),
    'people': _say('Number of people with a value'),
    'column': _say('Column of the table in Baxter et al. 2021'),
    'ci_low_mm': _mm('Lower end of the 95 % confidence interval, by bootstrap over people'),
    'ci_high_mm': _mm('Upper end of the 95 % confidence interval, by bootstrap over people'),
    'reason': _say('Why something is missing, or what to mind'),
    'mean_first_mm': _mm('Mean error of the first method, repetitions averaged per person'),
    'mean_second_mm': _mm('Mean error of the second method, repetitions averaged per person'),
    'difference_mm': _mm('Mean difference of the errors, first minus second, paired by person'),
    'effect': _say('Rank-biserial correlation; negative: the first has smaller errors'),
    'p': _say('Wilcoxon signed-rank test, two-sided, normal approximation'),
    'family': _say('Tests that are corrected together'),
    'family_size': _say('How many there are'),
    'p_holm': _say('p after the correction of Holm'),
    'stars': _say('* p_holm < 0.05, ** < 0.01, *** < 0.001'),
    'winner': _say('Method with the smaller mean error, whether significant or not'),
    'margin_mm': _mm('Mean errors that differ by less count as equal'),
    'p_tost_lower': _say('One-sided paired t-test that the difference is above -margin'),
    'p_tost_upper': _say('One-sided paired t-test that the difference is below +margin'),
    'p_tost': _say('Test of equivalence (TOST): the larger of the two'),
    'p_tost_holm': _say('p_tost after the correction of Holm'),
    'equivalent': _say('Whether the mean errors are shown to differ by less than the margin'),
    'images': _say('Number of images with a point by any method'),
    'methods': _say('Methods that gave a point, with blanks between them'),
    'raters': _say('Raters who gave a usable point, with blanks between them'),
    'outcome': _say(
        'How it went',
        complete='points by a method, and of raters if there are any in this run',
        incomplete='points, but something is missing; the message says what',
        missing='no point at all',
        failed='something is wrong with an image or a file; the message says what',
    ),
    'message': _say('What is wrong or missing'),
}
"""Every column of every table of the group."""

Z_SCORE = _say('z of the Wilcoxon test; negative: the first has smaller errors')
"""What 'z' is in tables of tests."""
