"""CoRe-Unet and the segmentation of the locus coeruleus of Duennwald et al. 2021."""
