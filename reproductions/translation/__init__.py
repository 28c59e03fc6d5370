"""What Shazeer et al. (2017) published of their translation model, and our runs beside it."""

SHAZEER_2017 = (
    "Shazeer, N., Mirhoseini, A., Maziarz, K., Davis, A., Le, Q., Hinton, G. & Dean, J. (2017). "
    "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer. ICLR."
)
SHAZEER_2017_URL = "https://arxiv.org/abs/1701.06538"
