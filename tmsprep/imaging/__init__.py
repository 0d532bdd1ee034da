"""From an image file to the arrays that localisers see; numpy and nibabel only."""
