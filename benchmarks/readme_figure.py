"""Draw the picture of README: ``python benchmarks/readme_figure.py``.

The targets of the default atlas on the template that it belongs to, which nilearn brings (ICBM 152
nonlinear symmetric, 2009a): an average of 152 heads, no participant's image.
"""

from __future__ import annotations

from pathlib import Path

from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.reports.overview import plot_overview

FIGURE = Path(__file__).resolve().parents[1] / 'docs' / 'figures' / 'targets.svg'


def main() -> None:
    """Write `FIGURE`."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    points = default_atlas(load_protocol('tms')).points
    mask = load_mni152_brain_mask(resolution=1)
    plot_overview(load_mni152_template(resolution=1), {'syn': points}, FIGURE, mask=mask)


if __name__ == '__main__':
    main()
