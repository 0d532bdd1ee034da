"""References against what the papers are called, as looked up in them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from report_data import FakeOutput, make_row

from tmsprep.methods.baxter2021 import group_section as cnn_group
from tmsprep.methods.duennwald2021 import group_section as lc_group
from tmsprep.reports.references import ABRAHAM, BLAND, STATISTICS

CHECKOUT = Path(__file__).parents[2]

#: DOI to first author, year, full title, and place of publication.
PAPERS = {
    '10.1007/s11548-021-02386-1': (
        'Baxter JSH, Bui QA, Maguet E',
        2021,
        (
            'Automatic cortical target point localisation in MRI for transcranial magnetic '
            'stimulation via a multi-resolution convolutional neural network'
        ),
        'International Journal of Computer Assisted Radiology and Surgery 16:1077-1087',
    ),
    '10.1016/j.media.2007.06.004': (
        'Avants BB, Epstein CL, Grossman M, Gee JC',
        2008,
        (
            'Symmetric diffeomorphic image registration with cross-correlation: evaluating '
            'automated labeling of elderly and neurodegenerative brain'
        ),
        'Medical Image Analysis 12:26-41',
    ),
    '10.1016/j.neuroimage.2010.09.025': (
        'Avants BB',
        2011,
        (
            'A reproducible evaluation of ANTs similarity metric performance in brain '
            'image registration'
        ),
        'NeuroImage 54:2033-2044',
    ),
    '10.1016/j.neuroimage.2010.07.033': (
        'Fonov V',
        2011,
        'Unbiased average age-appropriate atlases for pediatric studies',
        'NeuroImage 54:313-327',
    ),
    '10.1038/s41598-021-87564-6': (
        'Tustison NJ',
        2021,
        'The ANTsX ecosystem for quantitative biological and medical imaging',
        'Scientific Reports 11:9068',
    ),
    '10.3389/fninf.2014.00014': (
        'Abraham A',
        2014,
        'Machine learning for neuroimaging with scikit-learn',
        'Frontiers in Neuroinformatics 8:14',
    ),
    '10.3389/fninf.2011.00013': (
        'Gorgolewski K',
        2011,
        (
            'Nipype: a flexible, lightweight and extensible neuroimaging data '
            'processing framework in Python'
        ),
        'Frontiers in Neuroinformatics 5:13',
    ),
    '10.1038/sdata.2016.44': (
        'Gorgolewski KJ',
        2016,
        (
            'The brain imaging data structure, a format for organizing and '
            'describing outputs of neuroimaging experiments'
        ),
        'Scientific Data 3:160044',
    ),
    '10.1080/01621459.2017.1307116': (
        "Lei J, G'Sell M, Rinaldo A, Tibshirani RJ, Wasserman L",
        2018,
        'Distribution-free predictive inference for regression',
        'Journal of the American Statistical Association 113:1094-1111',
    ),
    '10.1007/b106715': (
        'Vovk V, Gammerman A, Shafer G',
        2005,
        'Algorithmic learning in a random world',
        'Springer',
    ),
    '10.1007/978-3-658-33198-6': (
        'Dünnwald M, Betts MJ, Düzel E, Oeltze-Jafra S',
        2021,
        'Localization of the locus coeruleus in MRI via coordinate regression',
        'Bildverarbeitung für die Medizin 2021',
    ),
    '10.1016/S0140-6736(86)90837-8': (
        'Bland JM, Altman DG',
        1986,
        (
            'Statistical methods for assessing agreement between two '
            'methods of clinical measurement'
        ),
        'The Lancet 327:307-310',
    ),
    '10.1007/978-1-4899-4541-9': (
        'Efron B, Tibshirani RJ',
        1993,
        'An introduction to the bootstrap',
        'Chapman and Hall',
    ),
    '10.2307/3001968': (
        'Wilcoxon F',
        1945,
        'Individual comparisons by ranking methods',
        'Biometrics Bulletin 1:80-83',
    ),
    '10.2466/11.IT.3.1': (
        'Kerby DS',
        2014,
        ('The simple difference formula: an approach to teaching nonparametric correlation'),
        'Comprehensive Psychology 3',
    ),
    '10.1007/BF01068419': (
        'Schuirmann DJ',
        1987,
        (
            'A comparison of the two one-sided tests procedure and the power '
            'approach for assessing the equivalence of average bioavailability'
        ),
        'Journal of Pharmacokinetics and Biopharmaceutics 15:657-680',
    ),
    '10.1037/0033-2909.86.2.420': (
        'Shrout PE, Fleiss JL',
        1979,
        'Intraclass correlations: uses in assessing rater reliability',
        'Psychological Bulletin 86:420-428',
    ),
}

#: The same for publications without a DOI, by their beginning.
OTHERS = {
    'Holm S (1979). ': 'A simple sequentially rejective multiple test procedure. Scandinavian '
    'Journal of Statistics 6:65-70.',
    'Lee Y, Barber RF, Willett R (2023). ': 'Distribution-free inference with hierarchical data. '
    'arXiv:2306.06342.',
    'Papadopoulos H, Gammerman A, Vovk V (2008). ': 'Normalized nonconformity measures for '
    'regression conformal prediction. Proceedings of the IASTED International Conference on '
    'Artificial Intelligence and Applications, 64-69.',
    'Çiçek O, Abdulkadir A, Lienkamp SS, et al. (2016). ': '3D U-Net: learning dense volumetric '
    'segmentation from sparse annotation. MICCAI 2016, 424-432.',
    'Dünnwald M, Betts MJ, Sciarra A, et al. (2020). ': 'Automated segmentation of the locus '
    'coeruleus from neuromelanin-sensitive 3T MRI using deep convolutional neural networks. '
    'Bildverarbeitung für die Medizin 2020, 61-66.',
    'Nibali A, He Z, Morgan S, Prendergast L (2018). ': 'Numerical coordinate regression with '
    'convolutional neural networks. arXiv:1801.07372.',
}


def check(reference: str) -> None:
    doi = re.search(r'doi:(\S+)$', reference)
    if doi is None:
        assert reference in [start + rest for start, rest in OTHERS.items()]
        return
    authors, year, title, place = PAPERS[doi[1]]
    assert re.fullmatch(
        rf'{re.escape(authors)}(, et al\.)? \({year}\)\. {re.escape(title)}\. '
        rf'(In: )?{re.escape(place)}\.( Springer Vieweg\.)? doi:\S+',
        reference,
    )


@pytest.mark.parametrize(
    ('protocol', 'methods', 'count'),
    [('tms', ('cnn', 'syn'), 12), ('locus-coeruleus', ('coreunet',), 6)],
)
def test_participant_report(tmp_path: Path, protocol: str, methods: tuple, count: int) -> None:
    output = FakeOutput(tmp_path, protocol)
    label = output.protocol.labels[0]
    calibration = {'Level': 0.9, 'People': {label: 20}, 'ScaledByDispersion': True}
    for method in methods:
        rows = [make_row(label, (1, 2, 3))]
        output.table('sub-01', method, rows, Calibration=calibration)
    listed = output.write().source.split('<ul class="references">')[1].split('</ul>')[0]
    items = [re.sub('<[^>]*>', '', item) for item in re.findall('<li>(.*?)</li>', listed)]
    assert len(items) == count
    for item in items:
        check(unescape(item))


@pytest.mark.parametrize(
    'reference', [*STATISTICS, *cnn_group.REFERENCES, ABRAHAM, BLAND, lc_group.SHROUT]
)
def test_group_report(reference: str) -> None:
    check(reference)


@pytest.mark.parametrize('name', ['docs/how_it_works.md', 'CITATION.cff'])
def test_documents(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding='utf-8')
    flat = ' '.join(text.split()).lower()
    for doi in ('10.1007/s11548-021-02386-1', '10.1016/j.media.2007.06.004'):
        assert doi in flat
        assert PAPERS[doi][2].lower() in flat
