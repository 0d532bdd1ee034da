"""From an image file to the arrays that localizers see; numpy, scipy and nibabel only."""
