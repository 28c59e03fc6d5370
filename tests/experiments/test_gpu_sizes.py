"""Models of the suites for a GPU, made without memory."""

import pytest
import torch

from experiments.language_model.counts import num_weights
from experiments.language_model.model import LanguageModel
from experiments.suite import suite_runs
from experiments.translation.counts import num_parameters
from experiments.translation.translator import Translator


@pytest.mark.parametrize("suite", ["language_model_gpu", "language_model_paper"])
def test_language_models_have_the_weights_that_the_estimate_counts(suite: str) -> None:
    for name, study in suite_runs([f"suite={suite}"])[1].items():
        with torch.device("meta"):
            model = LanguageModel(study, study.num_subwords)
        counted = sum(num_weights(study, study.num_subwords).values())
        # The count leaves out the LSTMs' biases, and has a gate where a hash stands.
        made = sum(weight.numel() for weight in model.parameters())
        assert made == pytest.approx(counted, rel=0.005), name


def test_the_largest_language_model_has_the_published_number_of_weights() -> None:
    # Table 7, MoE-4096-h: 4,303.4 million, embedding and softmax left out.
    study = suite_runs(["suite=language_model_paper"])[1]["experts_4096"]
    counted = num_weights(study, study.num_subwords)
    assert counted["experts"] + counted["gate"] + counted["others"] == pytest.approx(
        4303.4e6, rel=0.001
    )


def test_translators_have_the_weights_that_the_estimate_counts() -> None:
    for name, study in suite_runs(["suite=translation_gpu"])[1].items():
        with torch.device("meta"):
            model = Translator(study, study.num_subwords, 0)
        made = sum(weight.numel() for weight in model.parameters())
        assert made == num_parameters(study, study.num_subwords), name
