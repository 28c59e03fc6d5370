"""The Peterson & Barney (1952) formant table that praat-parselmouth carries, ready for training."""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.runner.errors import UserError
from experiments.vowel import own_table
from experiments.vowel.settings import (
    ALL_VOWELS,
    CODES,
    NUM_SPEAKERS,
    Coding,
    InputScale,
    Split,
    VowelDataConfig,
)
from moe import with_bias

SHA256 = "6a9cb6afeed6d512c24c36578a6cd7ccf2c7c8146100a0c19a18df6d787c240f"
COLUMNS = ["Type", "Sex", "Speaker", "Vowel", "IPA", "F0", "F1", "F2", "F3"]
# 76 speakers, 10 vowels, two tokens of each.
NUM_ROWS = 1520
REINSTALL = "Reinstall the pinned requirements (praat-parselmouth 0.4.7): make setup."


@dataclass(frozen=True)
class Cases:
    """Tokens of some speakers.

    Attributes:
        inputs_DN: F1, F2 and a constant one, `[3, N]`; kHz unless standardised.
        targets_ON: desired outputs, `[O, N]`.
        vowels_N: index of each token's vowel in the config's list, `[N]`.
        speakers_N: speaker numbers as in the table (1 to 76), `[N]`.
    """

    inputs_DN: Tensor
    targets_ON: Tensor
    vowels_N: Tensor
    speakers_N: Tensor

    def is_one_of(self, chosen: Iterable[str], vowels: list[str]) -> Tensor:
        """Whether each token is of a chosen vowel, `[N]`, given the config's vowels."""
        found_N = torch.zeros_like(self.vowels_N, dtype=torch.bool)
        for vowel in set(chosen) & set(vowels):
            found_N |= self.vowels_N == vowels.index(vowel)
        return found_N

    def to(self, device: str) -> "Cases":
        """The same on another device."""
        return Cases(*(tensor.to(device) for tensor in vars(self).values()))


@dataclass(frozen=True)
class VowelData:
    """Training and test cases, the code words `[V, O]`, and the table's checksum."""

    train: Cases
    test: Cases
    codes_VO: Tensor
    sha256: str

    def to(self, device: str) -> "VowelData":
        """The same on another device."""
        train, test = self.train.to(device), self.test.to(device)
        return VowelData(train, test, self.codes_VO.to(device), self.sha256)


def read_praat_table() -> str:
    """The table as tab-separated text, in the order in which Praat lists it.

    Raises:
        UserError: praat-parselmouth is missing.
    """
    try:
        from parselmouth.praat import call
    except ImportError as error:
        raise UserError(f"The vowel data cannot be read: {error}.", REINSTALL) from error
    return str(call(call("Create formant table (Peterson & Barney 1952)"), "List", False))


@cache
def load_table() -> pd.DataFrame:
    """Read and check the whole table: 76 speakers, 10 vowels, twice each, formants in Hz.

    Raises:
        UserError: the table is missing, or not the one that this study was written for.
    """
    text = read_praat_table()
    table = pd.read_csv(io.StringIO(text), sep="\t")
    problem = _first_problem(table, hashlib.sha256(text.encode()).hexdigest())
    if problem:
        raise UserError(f"The Peterson & Barney table is not as expected: {problem}.", REINSTALL)
    return table


def _first_problem(table: pd.DataFrame, sha256: str) -> str | None:
    if list(table.columns) != COLUMNS:
        return f"columns {list(table.columns)} instead of {COLUMNS}"
    if len(table) != NUM_ROWS:
        return f"{len(table)} rows instead of {NUM_ROWS}"
    if sorted(table["Vowel"].unique()) != sorted(ALL_VOWELS):
        return f"vowels {sorted(table['Vowel'].unique())}"
    counts = table.groupby(["Speaker", "Vowel"]).size()
    if len(counts) != NUM_SPEAKERS * len(ALL_VOWELS) or not (counts == 2).all():
        return "some speaker does not have two tokens of each vowel"
    if sha256 != SHA256:
        return f"its SHA-256 is {sha256} instead of {SHA256}"
    return None


def load(config: VowelDataConfig) -> VowelData:
    """Select, split, scale and code the tokens that the config asks for.

    Raises:
        UserError: the table is damaged, or one's own cannot be used.
    """
    table, sha256 = _recordings(config)
    train_speakers = _train_speakers(table["Speaker"].unique(), config)
    in_train = table["Speaker"].isin(train_speakers)
    if config.table is not None:
        own_table.check_sets(config, table[in_train], table[~in_train])
    codes_VO = _codes(config)
    # Caption of Figure 2: formants divided by 1,000, that is in kHz; not centred.
    formants = table[["F1", "F2"]].to_numpy(np.float64) / 1000
    if config.input_scale is InputScale.standardised:
        train = formants[in_train.to_numpy()]
        # By the training speakers alone: the test speakers are not to be known.
        formants = (formants - train.mean(axis=0)) / train.std(axis=0)
    cases = [
        _cases(table[chosen], formants[chosen.to_numpy()], codes_VO, config)
        for chosen in (in_train, ~in_train)
    ]
    return VowelData(cases[0], cases[1], codes_VO, sha256)


def _recordings(config: VowelDataConfig) -> tuple[pd.DataFrame, str]:
    """The chosen vowels' recordings, and the checksum of the table that they are from."""
    if config.table is not None:
        return own_table.read(config)
    table = load_table()
    table = table[table["Vowel"].isin(config.vowels)]
    # The paper has 75 speakers, Praat's table 76; which one is missing is not stated.
    return table[table["Speaker"] != config.dropped_speaker], SHA256


def _train_speakers(speakers: np.ndarray, config: VowelDataConfig) -> np.ndarray:
    if config.split is Split.random_by_speaker:
        # By speakers, never by tokens: nobody is in both sets.
        speakers = np.random.default_rng(config.split_seed).permutation(speakers)
    # Section 3: the first 50 speakers train, in the order of Praat's table.
    return speakers[: config.num_train_speakers]


def _codes(config: VowelDataConfig) -> Tensor:
    dtype = getattr(torch, config.precision.name)
    if config.coding is Coding.one_hot:
        # One output per vowel.
        return torch.eye(len(config.vowels), dtype=dtype)
    # One bit is the reading in which "output exactly 0.5" is one line, and the numbers of weights
    # fit those of the hidden layers: 24 and 25, 48 and 49.
    codes = CODES[config.coding]
    return torch.tensor([codes[vowel] for vowel in config.vowels], dtype=dtype)


def _cases(
    table: pd.DataFrame, formants: np.ndarray, codes_VO: Tensor, config: VowelDataConfig
) -> Cases:
    vowels_N = torch.tensor([config.vowels.index(vowel) for vowel in table["Vowel"]])
    # Cases last, as in `moe.batched_mixture`.
    inputs_DN = with_bias(torch.tensor(formants.T.copy(), dtype=codes_VO.dtype))
    speakers_N = torch.tensor(table["Speaker"].to_numpy())
    return Cases(inputs_DN, codes_VO[vowels_N].T.contiguous(), vowels_N, speakers_N)
