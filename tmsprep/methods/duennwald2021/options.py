"""Options of CoRe-Unet and the segmentation; the command line imports them, so no torch here."""

from __future__ import annotations

from pathlib import Path

from tmsprep.options import Option

#: Kind of the weights files, see `tmsprep.networks.archive`.
WEIGHTS_KIND = 'tmsprep-locus-coeruleus-1'

#: The same of networks that look twice: at the whole image, then at a crop around each nucleus.
STAGES_KIND = 'tmsprep-locus-coeruleus-stages-1'

LEARNING = ('train', 'crossval')

#: Ways to segment (Duennwald et al. 2021, section 2.3), with what they do.
SEGMENTATIONS = {
    'npp': 'a window of the patch network slides over the whole volume, threshold 0.5',
    'pp': 'the same as npp, then parts that cannot be a locus coeruleus are dropped',
    'lpp': 'one patch of the patch network, centred between the localised points, threshold 0.5',
}

OPTIONS = (
    Option(
        'weights',
        'weights of the networks (safetensors) (default: those of the protocol)',
        Path,
        levels=('participant',),
        refusals={'crossval': 'which trains all networks'},
        metavar='FILE',
    ),
    Option(
        'segmentation',
        'sliding window (npp), the same with post-processing (pp), one patch at the localised '
        'points (lpp)',
        default=('lpp',),
        choices=tuple(SEGMENTATIONS),
        several=True,
        levels=('participant', 'crossval'),
    ),
    Option(
        'recipe',
        'how to train: that of the paper, or small networks that train fast',
        default='duennwald2021',
        choices=('duennwald2021', 'quick'),
        levels=LEARNING,
    ),
    Option(
        'augmentation',
        'rotate, shift and scale the images at random, or not; crossval compares both',
        default=('with',),
        choices=('with', 'without'),
        several=True,
        levels=LEARNING,
        single=('train',),
    ),
    Option(
        'epochs',
        'passes through all images (default: set by the recipe)',
        int,
        levels=LEARNING,
        minimum=1,
        metavar='N',
    ),
    Option(
        'held_out',
        'participants of the test set, held out of all folds; 0 tests each fold on its own '
        'validation set',
        int,
        0,
        levels=('crossval',),
        minimum=0,
        metavar='N',
    ),
)
