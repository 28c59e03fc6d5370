"""Cost against the number of experts: what Shazeer et al. (2017) claim and what we measure."""
