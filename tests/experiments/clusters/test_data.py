"""The synthetic clusters: Definition 3.1 of Chen et al. (2022), item by item."""

from dataclasses import replace

import pytest
import torch

from experiments.clusters import data
from experiments.clusters.data import ClusterData, unshuffled
from experiments.clusters.settings import DataConfig

CONFIG = DataConfig(num_train=20_000, num_test=500)


@pytest.fixture(scope="module")
def drawn() -> ClusterData:
    return data.load(CONFIG)


def amounts(drawn: ClusterData) -> tuple[torch.Tensor, torch.Tensor]:
    """Inner products of the ordered patches with the features and centres, unscaled."""
    patches = unshuffled(drawn.train) / CONFIG.input_scale
    return patches @ drawn.signals.feature_KD.T, patches @ drawn.signals.centre_KD.T


def test_signals_are_orthonormal(drawn: ClusterData) -> None:
    signals = torch.cat([drawn.signals.feature_KD, drawn.signals.centre_KD]).double()
    torch.testing.assert_close(signals @ signals.T, torch.eye(8).double(), atol=1e-6, rtol=0)


def test_the_feature_patch_has_the_label_the_cluster_and_alphas_range(drawn: ClusterData) -> None:
    feature, _ = amounts(drawn)
    train = drawn.train
    own = feature[:, 0].gather(1, train.cluster_n[:, None]).squeeze(1)
    assert torch.equal(own.sign(), train.label_n)
    assert 0.5 - 1e-5 < own.abs().min() < 0.51
    assert 1.99 < own.abs().max() < 2 + 1e-5
    # The mean of U(0.5, 2) is 1.25; its standard error here is 0.003.
    assert own.abs().mean() == pytest.approx(1.25, abs=0.015)


def test_the_centre_patch_tells_the_cluster(drawn: ClusterData) -> None:
    _, centre = amounts(drawn)
    assert torch.equal(centre[:, 1].argmax(dim=1), drawn.train.cluster_n)
    largest = centre[:, 1].amax(dim=1)
    assert largest.min() >= 1 - 1e-5
    assert largest.max() <= 2 + 1e-5


def test_the_noise_feature_is_of_another_cluster_with_an_even_sign(drawn: ClusterData) -> None:
    feature, _ = amounts(drawn)
    strongest = feature[:, 2].abs().argmax(dim=1)
    assert not (strongest == drawn.train.cluster_n).any()
    sign = feature[:, 2].gather(1, strongest[:, None]).sign().squeeze(1)
    # Five standard errors of a mean of signs.
    limit = 5 / len(sign) ** 0.5
    assert abs(sign.mean()) < limit
    assert abs((sign * drawn.train.label_n).mean()) < limit
    others = torch.bincount(3 * drawn.train.cluster_n + (strongest - drawn.train.cluster_n) % 4 - 1)
    torch.testing.assert_close(others / len(sign), torch.full((12,), 1 / 12), atol=0.01, rtol=0)


def test_gaussian_patches_have_variance_sigma_squared_over_d() -> None:
    wide = data.load(replace(CONFIG, patch_noise=2.0, num_patches=6))
    noise = unshuffled(wide.train)[:, 3:] / CONFIG.input_scale
    assert noise.shape[1] == 3
    assert noise.var() == pytest.approx(4 / 50, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.001)


def test_patches_stand_in_random_order(drawn: ClusterData) -> None:
    where = torch.nn.functional.one_hot(drawn.train.order_nP).double().mean(dim=0)
    torch.testing.assert_close(where, torch.full((4, 4), 0.25).double(), atol=0.02, rtol=0)


def test_one_data_set_for_all_seeds_unless_fresh_ones_are_asked_for(drawn: ClusterData) -> None:
    again = data.load(CONFIG, seed=3)
    assert torch.equal(again.train.patches_nPD, drawn.train.patches_nPD)
    fresh = [data.load(replace(CONFIG, fresh_data=True, num_train=50), seed) for seed in (0, 1)]
    assert not torch.equal(fresh[0].train.patches_nPD, fresh[1].train.patches_nPD)
    assert not torch.equal(fresh[0].signals.centre_KD, fresh[1].signals.centre_KD)


def test_train_and_test_samples_differ(drawn: ClusterData) -> None:
    assert not torch.equal(drawn.train.patches_nPD[:500], drawn.test.patches_nPD)
