"""The distribution of Definition 3.1: classes that are easy within a cluster and hard across them.

Shapes: n examples, P patches, d dimensions, K clusters.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from experiments.clusters import own_array
from experiments.clusters.settings import ClustersConfig, DataConfig

# Which stream of a data seed's random numbers is for what.
_SIGNALS, _TRAIN, _TEST = range(3)


@dataclass(frozen=True)
class Signals:
    """The orthonormal directions of the data.

    Attributes:
        feature_KD: v_k, whose sign carries the class.
        centre_KD: c_k, which tells the cluster.
    """

    feature_KD: Tensor
    centre_KD: Tensor

    def to(self, device: torch.device) -> "Signals":
        """The same signals on a device."""
        return Signals(self.feature_KD.to(device), self.centre_KD.to(device))


@dataclass(frozen=True)
class Examples:
    """A sample.

    Attributes:
        patches_nPD: in random order per example, scaled as the settings say.
        label_n: -1.0 or 1.0.
        cluster_n: 0 to K - 1, int64.
        order_nP: which patch stands at each place: 0 feature, 1 centre, 2 feature noise, then
            Gaussian noise, int64.
    """

    patches_nPD: Tensor
    label_n: Tensor
    cluster_n: Tensor
    order_nP: Tensor


@dataclass(frozen=True)
class ClusterData:
    """Signals, and a training and a test sample that share them."""

    signals: Signals
    train: Examples
    test: Examples


def load(config: DataConfig, seed: int = 0) -> ClusterData:
    """Draw the data set, or split that of the user's file.

    Args:
        config: ranges, sizes and the data seed.
        seed: of the run; it matters only with `fresh_data`.

    Raises:
        UserError: the file of a config with `array` cannot be used.
    """
    # 0 is the one draw that all seeds share, as in the authors' notebooks.
    draw = seed + 1 if config.fresh_data else 0
    streams = [np.random.default_rng([config.data_seed, draw, part]) for part in range(3)]
    if isinstance(config, ClustersConfig) and config.array is not None:
        return _own(config, streams[_TRAIN])
    signals = orthonormal_signals(config, streams[_SIGNALS])
    return ClusterData(
        signals,
        sample(config, signals, config.num_train, streams[_TRAIN]),
        sample(config, signals, config.num_test, streams[_TEST]),
    )


def _own(config: ClustersConfig, random: Generator) -> ClusterData:
    train, test = own_array.split(config, random)
    num_clusters = int(train[2].max()) + 1
    signals = Signals(*own_array.directions(*train, num_clusters))
    # Its patches have no order but the file's.
    order_P = torch.arange(train[0].shape[1])
    halves = (Examples(*part, order_P.expand(len(part[0]), -1)) for part in (train, test))
    return ClusterData(signals, *halves)


def orthonormal_signals(config: DataConfig, random: Generator) -> Signals:
    """2K orthonormal vectors in a random direction."""
    # Columns of Q in a QR decomposition of normal numbers are orthonormal in a random direction.
    normal = random.standard_normal((config.dim, 2 * config.num_clusters))
    orthonormal, _ = np.linalg.qr(normal)
    rows = torch.from_numpy(orthonormal.T).float()
    return Signals(rows[: config.num_clusters], rows[config.num_clusters :])


def sample(config: DataConfig, signals: Signals, num: int, random: Generator) -> Examples:
    """Draw examples of Definition 3.1.

    The patches of an example of cluster k and label y: y alpha v_k, beta c_k, epsilon gamma v_k'
    with another cluster k' and a random sign, and Gaussian noise of variance sigma_p^2 / d.
    """
    num_clusters = config.num_clusters
    cluster = random.integers(num_clusters, size=num)
    # k' uniform among the K - 1 others.
    other = (cluster + random.integers(1, num_clusters, size=num)) % num_clusters
    label, sign = (random.choice([-1.0, 1.0], size=num) for _ in range(2))
    alpha, beta, gamma = (
        random.uniform(low, high, size=num)
        for low, high in (config.alpha, config.beta, config.gamma)
    )
    feature, centre = signals.feature_KD.double().numpy(), signals.centre_KD.double().numpy()
    patches = np.empty((num, config.num_patches, config.dim))
    # Definition 3.1: y alpha v_k, beta c_k, epsilon gamma v_k', and xi ~ N(0, sigma_p^2 / d I).
    patches[:, 0] = (label * alpha)[:, None] * feature[cluster]
    patches[:, 1] = beta[:, None] * centre[cluster]
    patches[:, 2] = (sign * gamma)[:, None] * feature[other]
    # Variance sigma_p^2 / d in each of d dimensions: the whole patch has length about sigma_p.
    noise = random.standard_normal((num, config.num_patches - 3, config.dim))
    patches[:, 3:] = config.patch_noise / np.sqrt(config.dim) * noise
    # The ranks of uniform numbers are a random permutation.
    order = np.argsort(random.random((num, config.num_patches)), axis=1)
    patches = np.take_along_axis(patches, order[:, :, None], axis=1)
    return Examples(
        # The authors' code multiplies all inputs by ten; the paper's text does not.
        torch.from_numpy(config.input_scale * patches).float(),
        torch.from_numpy(label).float(),
        torch.from_numpy(cluster),
        torch.from_numpy(order),
    )


def unshuffled(examples: Examples) -> Tensor:
    """The patches in the order of Definition 3.1, `[n, P, d]`."""
    back_nP = examples.order_nP.argsort(dim=1)
    return torch.take_along_dim(examples.patches_nPD, back_nP[:, :, None], dim=1)
