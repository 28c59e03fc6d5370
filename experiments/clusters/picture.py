"""The plane of Figure 1: where the training examples lie."""

import numpy as np

from experiments.clusters.data import Examples, unshuffled


def positions(
    examples: Examples, seed: int = 0
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Examples in the plane by t-SNE, their patches in the order of the definition, `[n, 2]`.

    Source: Chen et al. (2022), Figure 1. Perplexity and start: scikit-learn's; not stated.
    """
    # Imported late: it takes longer than most commands that never draw a plane.
    from sklearn.manifold import TSNE

    flat = unshuffled(examples).flatten(1).numpy()
    perplexity = min(30.0, (len(flat) - 1) / 3)
    plane = TSNE(perplexity=perplexity, random_state=seed, n_jobs=1).fit_transform(flat)
    return np.asarray(plane, dtype=np.float32)
