"""Citations that several parts of a report share."""

from __future__ import annotations

ABRAHAM = """\
Abraham A, et al. (2014). Machine learning for neuroimaging with scikit-learn. Frontiers in \
Neuroinformatics 8:14. doi:10.3389/fninf.2014.00014"""

BLAND = """\
Bland JM, Altman DG (1986). Statistical methods for assessing agreement between two methods of \
clinical measurement. The Lancet 327:307-310. doi:10.1016/S0140-6736(86)90837-8"""

#: Confidence intervals, correction for several tests, and paired tests.
STATISTICS = """\
Efron B, Tibshirani RJ (1993). An introduction to the bootstrap. Chapman and Hall. \
doi:10.1007/978-1-4899-4541-9
Holm S (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of \
Statistics 6:65-70.
Wilcoxon F (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1:80-83. \
doi:10.2307/3001968""".splitlines()

#: File layout and workflow of the participant level.
PIPELINE = """\
Gorgolewski K, et al. (2011). Nipype: a flexible, lightweight and extensible neuroimaging data \
processing framework in Python. Frontiers in Neuroinformatics 5:13. doi:10.3389/fninf.2011.00013
Gorgolewski KJ, et al. (2016). The brain imaging data structure, a format for organizing and \
describing outputs of neuroimaging experiments. Scientific Data 3:160044. \
doi:10.1038/sdata.2016.44""".splitlines()
