"""Chen et al. (2022): the synthetic clusters, what was published of them and what we find."""
