"""Cost of a sparse layer against its number of experts (Shazeer et al. 2017)."""
