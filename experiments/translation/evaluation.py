"""What is minimised and what is measured: losses, perplexity, balance."""

from math import exp, nan

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.text.encoded import Batch, Encoded, collate, order
from experiments.text.subwords import PAD
from experiments.translation.settings import TranslationConfig
from experiments.translation.translator import Output, Translator
from moe.gates import StrictlyBalancedGate
from moe.measures import coefficient_of_variation, max_over_mean
from moe.routing import NO_EXPERT

# What stands for all languages together.
ALL = "all"


def cross_entropy(output: Output, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """Mean over the target's subwords, ends included, in nats; a scalar."""
    return F.cross_entropy(
        output.logits.flatten(0, 1),
        batch.target_out_BT.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
    )


def balance(output: Output, config: TranslationConfig) -> Tensor:
    """The weighted sum of the auxiliary losses of all mixtures, a scalar.

    Source: Shazeer et al. (2017), equations 7, 11 and 20; that layers are summed is not stated.
    """
    # L = L_task + w_importance CV(Importance)^2 + w_load CV(Load)^2 (equations 7 and 11); for
    # strictly balanced gates the loss of their thresholds (equation 20).
    weights = {
        "importance": config.importance_weight,
        "load": config.load_weight,
        "batchwise": config.batchwise_weight,
    }
    losses = [
        weights[name] * loss
        for each in output.moe.values()
        for name, loss in each.routing.losses.items()
    ]
    return torch.stack(losses).sum() if losses else output.logits.new_zeros(())


def learning_rate(step: int, config: TranslationConfig) -> float:
    """Up in a line, constant, then by the inverse square root of the step.

    Source: Shazeer et al. (2017), appendix E.
    """
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    # Published: 2,000 steps up, 8,000 constant at the peak, then ~ 1 / sqrt(step).
    steady = config.warm_up_steps + config.constant_steps
    if step < steady:
        return config.learning_rate
    return float(config.learning_rate * (steady / (step + 1)) ** 0.5)


@torch.no_grad()
def perplexity(model: Translator, pairs: Encoded, tokens_per_batch: int) -> tuple[float, int]:
    """Perplexity per target subword, ends included, and their number; without dropout or noise.

    NaN where there are no pairs.
    """
    was_training = model.training
    model.eval()
    total, num_tokens = 0.0, 0
    for chosen in order(pairs, tokens_per_batch, 0, None):
        batch = collate(pairs, chosen).to(model.device)
        loss = float(cross_entropy(model(batch.source_BS, batch.target_in_BT), batch))
        # A batch's mean, weighed by its tokens: batches differ in size.
        total += loss * batch.num_target_tokens
        num_tokens += batch.num_target_tokens
    model.train(was_training)
    # exp(-1/n sum_t log p(y_t | y_<t, x)); exp(700) is near the largest float64.
    return (exp(min(total / num_tokens, 700.0)) if num_tokens else nan), num_tokens


@torch.no_grad()
def clean_share_kept(model: Translator, batch: Batch) -> dict[str, float]:
    """Share of each gate's clean choices of experts that its noise leaves as they are.

    Without it nothing shows whether the gate's logits have outgrown the noise that they start in.
    Strictly balanced gates have no noise, and no share.
    """
    was_training = model.training
    model.eval()
    found = {}
    for place, block in (("encoder", model.encoder_moe), ("decoder", model.decoder_moe)):
        if block is None or isinstance(block.layer.gate, StrictlyBalancedGate):
            continue
        clean_TK = _choices(model, batch, place)
        # One gate alone: what else is drawn would change what it sees.
        block.layer.gate.train()
        noisy_TK = _choices(model, batch, place)
        block.layer.gate.eval()
        # Every clean choice against every noisy one: the order among the k does not matter.
        kept_TK = (clean_TK.unsqueeze(2) == noisy_TK.unsqueeze(1)).any(dim=2)
        # Padding has no expert.
        is_token_T = clean_TK[:, 0] != NO_EXPERT
        found[f"{place}_clean_share_kept"] = float(kept_TK[is_token_T].float().mean())
    model.train(was_training)
    return found


def _choices(model: Translator, batch: Batch, place: str) -> Tensor:
    """The experts of every token, `[T, K]`, of a gate that gives all of them K."""
    routing = model(batch.source_BS, batch.target_in_BT).moe[place].routing
    experts_TK: Tensor = routing.expert_A.view(routing.num_tokens, -1)
    return experts_TK


@torch.no_grad()
def sentence_losses(model: Translator, pairs: Encoded, tokens_per_batch: int) -> pd.DataFrame:
    """A row per sentence: pair, domain, language, num_tokens, loss.

    The loss is in nats per subword, ends included.
    """
    model.eval()
    parts = []
    for chosen in order(pairs, tokens_per_batch, 0, None):
        batch = collate(pairs, chosen).to(model.device)
        # cross_entropy wants the classes in the second dimension.
        logits_BVT = model(batch.source_BS, batch.target_in_BT).logits.transpose(1, 2)
        loss_BT = F.cross_entropy(
            logits_BVT, batch.target_out_BT, ignore_index=PAD, reduction="none"
        )
        num_B = batch.target_mask_BT.sum(dim=1)
        parts.append(
            pd.DataFrame(
                {
                    "pair": chosen,
                    "num_tokens": num_B.cpu(),
                    "loss": (loss_BT.sum(dim=1) / num_B).cpu(),
                }
            )
        )
    table = pd.concat(parts).sort_values("pair", ignore_index=True)
    table.insert(1, "domain", pairs.domain or "")
    table.insert(2, "language", pairs.language or "")
    return table


def by_language(sentences: pd.DataFrame) -> pd.DataFrame:
    """A row for all sentences and one per language: language, perplexity, num_tokens.

    Args:
        sentences: see `sentence_losses`.
    """
    parts = [(ALL, sentences)]
    if sentences["language"].nunique() > 1:
        parts += [(str(name), own) for name, own in sentences.groupby("language", sort=False)]
    rows = []
    for name, own in parts:
        num_tokens = int(own["num_tokens"].sum())
        # exp(-1/n sum_t log p(y_t | y_<t, x)) over all subwords; exp(700) is near the largest
        # float64.
        loss = float((own["loss"] * own["num_tokens"]).sum()) / num_tokens
        rows.append(
            {"language": name, "perplexity": exp(min(loss, 700.0)), "num_tokens": num_tokens}
        )
    return pd.DataFrame(rows)


def balance_row(output: Output) -> dict[str, float]:
    """Coefficients of variation of importance and load, and the largest load over the mean."""
    row = {}
    for place, each in output.moe.items():
        count_E = each.plan.counts_E.float()
        importance_E = each.routing.importance_E.detach()
        row[f"{place}_cv_importance"] = float(coefficient_of_variation(importance_E))
        row[f"{place}_cv_load"] = float(coefficient_of_variation(count_E))
        row[f"{place}_max_over_mean_load"] = float(max_over_mean(count_E))
    return row
