"""What the report says of the multi-resolution network, from the derivatives alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods.baxter2021.radius import EXPERTS_MM
from tmsprep.reports.sections import Section
from tmsprep.tables import read_json

BAXTER = """\
Baxter JSH, Bui QA, Maguet E, et al. (2021). Automatic cortical target point localisation in MRI \
for transcranial magnetic stimulation via a multi-resolution convolutional neural network. \
International Journal of Computer Assisted Radiology and Surgery 16:1077-1087. \
doi:10.1007/s11548-021-02386-1"""

#: Methods of the error radius.
_CONFORMAL = """\
Lee Y, Barber RF, Willett R (2023). Distribution-free inference with hierarchical data. \
arXiv:2306.06342.
Lei J, G'Sell M, Rinaldo A, Tibshirani RJ, Wasserman L (2018). Distribution-free predictive \
inference for regression. Journal of the American Statistical Association 113:1094-1111. \
doi:10.1080/01621459.2017.1307116
Papadopoulos H, Gammerman A, Vovk V (2008). Normalized nonconformity measures for regression \
conformal prediction. Proceedings of the IASTED International Conference on Artificial \
Intelligence and Applications, 64-69.
Vovk V, Gammerman A, Shafer G (2005). Algorithmic learning in a random world. Springer. \
doi:10.1007/b106715""".splitlines()


def section(image: ImageRef, layout: Layout) -> Section:
    """Methods text with weights, ensemble and error radius; see `Method.section`."""
    sidecar = read_json(layout.table(image, 'cnn').with_suffix('.json'))
    weights, size = sidecar.get('Weights', {}), sidecar.get('EnsembleSize')
    text = (
        'Targets were found with a multi-resolution convolutional network after Baxter et al. '
        '(2021), which refines each point from coarse to fine levels of an image pyramid'
    )
    if isinstance(weights, dict) and weights.get('Name'):
        text += f'; weights {weights["Name"]}'
        text += f' (SHA-256 `{weights["SHA256"]}`)' if weights.get('SHA256') else ''
    if size:
        text += f'; the mean of {size} network{"" if size == 1 else "s"}'
    calibration = sidecar.get('Calibration')
    if not isinstance(calibration, dict):
        return Section(methods=f'{text}.', references=[BAXTER])
    return Section(
        facts=_radius_facts(calibration),
        methods=f'{text}. {_calibration_text(calibration)}',
        references=[BAXTER, *_CONFORMAL],
    )


def _radius_facts(calibration: Mapping[str, Any]) -> list[str]:
    """Say which points have no radius, and why, and what to hold the others against."""
    missing = calibration.get('Missing')
    targets: dict[str, list[str]] = {}
    for label, reason in missing.items() if isinstance(missing, dict) else ():
        targets.setdefault(str(reason), []).append(str(label))
    known = len(calibration.get('People', {}))
    facts = [
        f'No 90 % error{"" if len(some) == known else " for " + ", ".join(some)}: {reason}.'
        for reason, some in targets.items()
    ]
    if len(missing or ()) < known:
        facts.append(
            'The 90 % error is the distance from a point made like those that the network was '
            f'trained on; human experts differ by about {EXPERTS_MM:g} mm (Baxter et al., 2021).'
        )
    return facts


def _calibration_text(calibration: Mapping[str, Any]) -> str:
    counts = sorted(calibration.get('People', {}).values()) or ['an unknown number of']
    many = ' to '.join(dict.fromkeys(str(counts[i]) for i in (0, -1)))
    scaled = (
        ', scaled by the dispersion of the networks (Papadopoulos et al., 2008)'
        if calibration.get('ScaledByDispersion') is True
        else ''
    )
    return (
        f'The radius of {100 * calibration.get("Level", 0.9):g} % of errors was found by split '
        f'conformal prediction (Vovk et al., 2005; Lei et al., 2018; Lee et al., 2023){scaled}, '
        f'from the errors of {many} participants per target who were not among the training set.'
    )
