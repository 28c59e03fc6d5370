"""Data of your own in the place of Definition 3.1: `study=clusters study.array=my.npz`.

The file is what `numpy.savez` writes, with these arrays:

    inputs    [num_samples, num_patches, patch_size], numbers
    labels    [num_samples], two different values; the smaller one becomes -1
    clusters  [num_samples], whole numbers; may be left out, and then all is one cluster

Half of the examples train and the other half test, drawn by `study.data_seed`. Inputs are
multiplied by `study.input_scale`, as the authors' code does; the step sizes suit numbers that are
about 1 before that. No expert and no gate ever sees the clusters: they only serve to measure what
the gate has found.

Shapes: n examples, P patches, d dimensions of a patch, K clusters.
"""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from experiments.clusters.settings import ClustersConfig, check
from experiments.runner.errors import UserError
from experiments.runner.storage import storage_errors

_MAKE = "Make it with numpy.savez(file, inputs=..., labels=..., clusters=...)."
# Of a cluster, so that each half can have both classes of it.
_LEAST = 4


def checksum(path: str) -> str:
    """SHA-256 of the file.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def sized(config: ClustersConfig) -> ClustersConfig:
    """The config with the sizes of its file, where it names one.

    Raises:
        UserError: the file cannot be used, or is too small for another setting.
    """
    if config.array is None:
        return config
    inputs_nPd, _, cluster_n = read(config.array)
    num, num_patches, dim = inputs_nPd.shape
    num_train = num // 2
    own = replace(
        config,
        num_train=num_train,
        num_test=num - num_train,
        num_clusters=int(cluster_n.max()) + 1,
        num_patches=num_patches,
        dim=dim,
    )
    check(own)
    return own


def read(path: str) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Inputs `[n, P, d]`, labels -1 or 1 `[n]`, and clusters 0 to K - 1 `[n]` of a file.

    Raises:
        UserError: an array is missing or has values that cannot be used.
    """
    found = _arrays(path)
    inputs, labels = _inputs(path, found["inputs"]), found["labels"]
    clusters = found.get("clusters", np.zeros(len(inputs), np.int64))
    for name, each in (("labels", labels), ("clusters", clusters)):
        if each.shape != (len(inputs),):
            raise _wrong(
                path,
                f"{name} has the shape {list(each.shape)}, and inputs has {len(inputs)} examples",
                f"Give {name} one value for each example: shape [{len(inputs)}].",
            )
    values, label_n = np.unique(labels, return_inverse=True)
    if len(values) != 2:
        raise _wrong(
            path, f"labels has {len(values)} different values", "The study has two classes."
        )
    return inputs, (2 * label_n - 1).astype(np.float32), _clusters(path, clusters)


def split(
    config: ClustersConfig, random: np.random.Generator
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Inputs, labels and clusters of a random half to train on, and of the other half.

    Raises:
        UserError: the file cannot be used, or a half lacks a class or a cluster.
    """
    assert config.array is not None
    arrays = read(config.array)
    order = random.permutation(len(arrays[0]))
    half = len(order) // 2
    for part in (order[:half], order[half:]):
        for name, each in (("class", arrays[1]), ("cluster", arrays[2])):
            if len(np.unique(each[part])) < len(np.unique(each)):
                raise _wrong(
                    config.array,
                    f"one half of the examples has none of some {name}",
                    f"Add examples, or take another study.data_seed than {config.data_seed}.",
                )
    train, test = (
        (
            torch.from_numpy(config.input_scale * arrays[0][part]).float(),
            torch.from_numpy(arrays[1][part]),
            torch.from_numpy(arrays[2][part]),
        )
        for part in (order[:half], order[half:])
    )
    return train, test


def directions(
    inputs_nPd: Tensor, label_n: Tensor, cluster_n: Tensor, num_clusters: int
) -> tuple[Tensor, Tensor]:
    """What stands for each cluster's feature and centre in the measures, of length 1, `[K, d]`.

    In Definition 3.1 the mean of an example's patches, summed, is a multiple of the centre c_k, for
    labels and signs are as often 1 as -1; and that of y times the sum is one of the feature v_k.
    """
    sums_nd = inputs_nPd.double().sum(dim=1)
    of_cluster_Kn = F.one_hot(cluster_n, num_clusters).T.double()
    mean_Kn = of_cluster_Kn / of_cluster_Kn.sum(dim=1, keepdim=True)
    # E[y x | k] = E[alpha] v_k and E[x | k] = E[beta] c_k
    feature_Kd, centre_Kd = mean_Kn @ (label_n[:, None] * sums_nd), mean_Kn @ sums_nd
    return F.normalize(feature_Kd, dim=1).float(), F.normalize(centre_Kd, dim=1).float()


def _content(path: str) -> bytes:
    if not Path(path).is_file():
        raise UserError(f"study.array={path} is no file.", _MAKE)
    with storage_errors(Path(path)):
        return Path(path).read_bytes()


def _arrays(path: str) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(io.BytesIO(_content(path)), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    # A file of one array alone is no context, and has no names.
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise _wrong(path, "it is no .npz file of numbers", _MAKE) from error
    for name in ("inputs", "labels"):
        if name not in found:
            raise _wrong(path, f"it has no array {name}, but {', '.join(found) or 'none'}", _MAKE)
    return found


def _inputs(path: str, inputs: NDArray[np.generic]) -> NDArray[np.float32]:
    if inputs.ndim != 3 or 0 in inputs.shape:
        raise _wrong(
            path,
            f"inputs has the shape {list(inputs.shape)}",
            "Three axes are needed: examples, patches, and numbers of a patch.",
        )
    if not np.issubdtype(inputs.dtype, np.number) or np.iscomplexobj(inputs):
        raise _wrong(path, f"inputs has values of type {inputs.dtype}", "Give it numbers.")
    numbers = inputs.astype(np.float32)
    bad = ~np.isfinite(numbers).all(axis=(1, 2))
    if bad.any():
        row = int(bad.argmax())
        raise _wrong(path, f"example {row} of inputs is not finite", "Take it out, or fill it in.")
    return numbers


def _clusters(path: str, clusters: NDArray[np.generic]) -> NDArray[np.int64]:
    values, cluster_n, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    if counts.min() < _LEAST:
        raise _wrong(
            path,
            f"cluster {values[counts.argmin()]} has {counts.min()} examples",
            f"Each needs {_LEAST} at least.",
        )
    found: NDArray[np.int64] = cluster_n.astype(np.int64)
    return found


def _wrong(path: str, reason: str, fix: str) -> UserError:
    return UserError(f"study.array={path}: {reason}.", fix)
