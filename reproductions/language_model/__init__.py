"""The language model of Shazeer et al. (2017): claims, evidence, figures and report."""
