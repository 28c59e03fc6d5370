"""Beam search over a batch of sentences.

Source: Wu et al. (2016), section 7. A translation Y of X scores
log P(Y|X) / lp(Y) + cp(X; Y), with lp(Y) = (5 + |Y|)^alpha / 6^alpha and
cp(X; Y) = beta * sum_i log(min(sum_j p_ij, 1)) over the attention p that target j gave source i.
|Y| counts the end.

Shapes: B sentences, K hypotheses of each, C candidates to follow them, N = B * K rows, S source
positions, T target positions so far, V subwords.
"""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import torch
from torch import Tensor

from experiments.text.subwords import END, PAD, START
from experiments.translation.settings import DecodingConfig
from experiments.translation.translator import Memory, Output, State

# A source of one or two subwords may well take more than twice as many.
_SHORTEST_LIMIT = 8


class Model(Protocol):
    """What a search asks of a model."""

    def encode(self, source_BS: Tensor) -> Memory:
        """Read the source."""

    def start(self, memory: Memory) -> State:
        """The decoder before the first subword."""

    def decode(self, target_NT: Tensor, mask_NT: Tensor, memory: Memory, state: State) -> Output:
        """Say the next subword after each of the given ones."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation.

    Attributes:
        ids: subwords, without start and end.
        score: with the penalties.
        log_probability: in nats, with the end.
        looked_at: the source position of the largest attention for every subword and the end.
    """

    ids: list[int]
    score: float
    log_probability: float
    looked_at: list[int]


@dataclass
class _Beam:
    """Hypotheses of every sentence that is not done.

    Attributes:
        sentence_B: which sentences these are.
        row_BK: each one's row in the decoder's state.
        log_probability_BK: in nats; -inf where there is none.
        ids_BKT: subwords so far.
        looked_at_BKT: source positions of the largest attention.
        coverage_BKS: attention so far.
    """

    sentence_B: Tensor
    row_BK: Tensor
    log_probability_BK: Tensor
    ids_BKT: Tensor
    looked_at_BKT: Tensor
    coverage_BKS: Tensor

    def take(self, place_BK: Tensor) -> "_Beam":
        """Other hypotheses of the same sentences."""
        sentence_B1 = torch.arange(len(place_BK))[:, None]
        parts = [part[sentence_B1, place_BK] for part in list(vars(self).values())[1:]]
        return _Beam(self.sentence_B, *parts)

    def only(self, is_kept_B: Tensor) -> "_Beam":
        """Some of the sentences."""
        return _Beam(*(part[is_kept_B] for part in vars(self).values()))


@torch.no_grad()
def search(
    model: Model, source_BS: Tensor, config: DecodingConfig, num_best: int = 1
) -> list[list[Hypothesis]]:
    """The best translations of every sentence, at most `num_best`, the best first.

    A sentence is done when no live hypothesis can still reach its `num_best`-th finished one,
    whatever follows; so a beam that is wide enough, without margin, finds what an exhaustive
    search finds.

    Args:
        model: in evaluation mode.
        source_BS: ids, padded with `PAD`.
        config: width, penalties and margin.
        num_best: translations per sentence.
    """
    with source_BS.device:
        return _search(model, source_BS, config, num_best)


def _search(
    model: Model, source_BS: Tensor, config: DecodingConfig, num_best: int
) -> list[list[Hypothesis]]:
    width = max(config.beam_width, num_best)
    num_sentences, num_positions = source_BS.shape
    limit_B = _limits(source_BS, config)
    finished: list[list[Hypothesis]] = [[] for _ in range(num_sentences)]
    # Rows of the decoder are K hypotheses of each sentence: row n is of sentence n // K.
    beam = _first(num_sentences, width, num_positions)
    memory = model.encode(source_BS).take(beam.row_BK.flatten() // width)
    state = model.start(memory)
    token_N = torch.full((num_sentences * width,), START)
    while len(beam.sentence_B):
        mask_N1 = torch.ones(len(token_N), 1, dtype=torch.bool)
        output = model.decode(token_N[:, None], mask_N1, memory, state)
        limits_B = limit_B[beam.sentence_B]
        # Finished hypotheses leave before the live ones are cut to K, so that ending takes no
        # place.
        beam = _candidates(beam, output, limits_B, config)
        _collect(beam, memory.mask_BS[::width], finished, config, num_best)
        beam = _go_on(beam, width)
        beam = beam.only(~_is_done(beam, limits_B, finished, config, num_best))
        # Which row each survivor comes from: the decoder's state is put into their order.
        chosen_N = beam.row_BK.flatten()
        memory, state = memory.take(chosen_N), output.state.take(chosen_N)
        token_N = beam.ids_BKT[:, :, -1].flatten()
        beam.row_BK = torch.arange(len(chosen_N)).view(beam.row_BK.shape)
    return finished


def _limits(source_BS: Tensor, config: DecodingConfig) -> Tensor:
    """Most subwords of a translation, with its end, `[B]`."""
    lengths = (source_BS != PAD).sum(dim=1).tolist()
    limits = [max(_SHORTEST_LIMIT, ceil(config.max_length_ratio * length)) for length in lengths]
    return torch.tensor(limits)


def _first(num_sentences: int, width: int, num_positions: int) -> _Beam:
    log_probability_BK = torch.full((num_sentences, width), -torch.inf)
    # One empty hypothesis: equal ones would only find the same again.
    log_probability_BK[:, 0] = 0.0
    nothing_BKT = torch.empty(num_sentences, width, 0, dtype=torch.int64)
    return _Beam(
        torch.arange(num_sentences),
        torch.arange(num_sentences * width).view(num_sentences, width),
        log_probability_BK,
        nothing_BKT,
        nothing_BKT,
        torch.zeros(num_sentences, width, num_positions),
    )


def _candidates(beam: _Beam, output: Output, limit_B: Tensor, config: DecodingConfig) -> _Beam:
    """The 2K likeliest hypotheses that are one subword longer; among them are K that go on."""
    # Of 2K candidates at most K end, one for each hypothesis, so that K that go on are always
    # there.
    num_sentences, width = beam.log_probability_BK.shape
    next_NV = torch.log_softmax(output.logits[:, 0], dim=-1)
    next_NV[:, [PAD, START]] = -torch.inf
    if config.score_margin is not None:
        # GNMT's first pruning: no subword more than the margin below the likeliest one.
        lowest_N1 = next_NV.max(dim=1, keepdim=True).values - config.score_margin
        next_NV = next_NV.masked_fill(next_NV < lowest_N1, -torch.inf)
    next_BKV = next_NV.view(num_sentences, width, -1)
    # With this subword a translation has as many as are allowed, the end among them.
    is_last_B = limit_B == beam.ids_BKT.shape[2] + 1
    # At the limit a hypothesis ends, whatever its margin says.
    end_BK = torch.log_softmax(output.logits[:, 0], dim=-1)[:, END].view(num_sentences, width)
    next_BKV[is_last_B] = -torch.inf
    next_BKV[is_last_B, :, END] = end_BK[is_last_B]
    # log P(y_1 .. y_t | X) = log P(y_1 .. y_(t-1) | X) + log p(y_t | ...). All successors of a
    # sentence compete in one list of K V; place // V is the hypothesis, and place % V the subword.
    total_BX = (beam.log_probability_BK[:, :, None] + next_BKV).flatten(1)
    total_BC, place_BC = total_BX.topk(min(2 * width, total_BX.shape[1]), dim=1)
    # sum_j p_ij so far: the attention that source position i had from all targets j.
    attention_BKS = output.attention_BTS[:, 0].view(num_sentences, width, -1)
    beam.coverage_BKS = beam.coverage_BKS + attention_BKS
    looked_at_BK1 = attention_BKS.argmax(dim=2, keepdim=True)
    beam.looked_at_BKT = torch.cat([beam.looked_at_BKT, looked_at_BK1], dim=2)
    longer = beam.take(place_BC // next_BKV.shape[2])
    token_BC1 = (place_BC % next_BKV.shape[2])[:, :, None]
    longer.ids_BKT = torch.cat([longer.ids_BKT, token_BC1], dim=2)
    longer.log_probability_BK = total_BC
    return longer


def _is_end(beam: _Beam) -> Tensor:
    return beam.ids_BKT[:, :, -1] == END


def scores(
    log_probability: Tensor, length: int, coverage_S: Tensor, mask_S: Tensor, config: DecodingConfig
) -> Tensor:
    """Score by Wu et al. (2016), equation 14; leading dimensions are free.

    Args:
        log_probability: in nats, `[...]`.
        length: subwords with the end.
        coverage_S: attention that every source position got, `[..., S]`.
        mask_S: true where there is a subword, `[..., S]`.
        config: the penalties.
    """
    # The logarithm of nothing would make a translation that skips a word impossible.
    log_S = coverage_S.clamp(min=1e-6, max=1.0).log().masked_fill(~mask_S, 0.0)
    # Wu et al. (2016), eq. 14: s(Y, X) = log P(Y|X) / lp(Y) + cp(X; Y), with
    # cp(X; Y) = beta sum_i log(min(sum_j p_ij, 1)).
    return log_probability / _length(length, config) + config.coverage_penalty * log_S.sum(dim=-1)


def _length(length: int | Tensor, config: DecodingConfig) -> Tensor:
    # Wu et al. (2016), eq. 14: lp(Y) = (5 + |Y|)^alpha / (5 + 1)^alpha
    return ((5 + torch.as_tensor(length)) / 6) ** config.length_penalty


def _collect(
    beam: _Beam,
    mask_BS: Tensor,
    finished: list[list[Hypothesis]],
    config: DecodingConfig,
    num_best: int,
) -> None:
    """Put hypotheses that have ended among the finished ones."""
    length = beam.ids_BKT.shape[2]
    score_BC = scores(beam.log_probability_BK, length, beam.coverage_BKS, mask_BS[:, None], config)
    ended = _is_end(beam) & (beam.log_probability_BK > -torch.inf)
    for row, place in ended.nonzero().tolist():
        found = finished[int(beam.sentence_B[row])]
        found.append(
            Hypothesis(
                beam.ids_BKT[row, place, :-1].tolist(),
                float(score_BC[row, place]),
                float(beam.log_probability_BK[row, place]),
                beam.looked_at_BKT[row, place].tolist(),
            )
        )
        found.sort(key=lambda each: -each.score)
        # Kept sorted, so that the last one is what a live hypothesis still has to beat.
        del found[num_best:]


def _go_on(beam: _Beam, width: int) -> _Beam:
    """The likeliest candidates that have not ended."""
    beam.log_probability_BK = beam.log_probability_BK.masked_fill(_is_end(beam), -torch.inf)
    return beam.take(beam.log_probability_BK.topk(width, dim=1).indices)


def _is_done(
    beam: _Beam,
    limit_B: Tensor,
    finished: list[list[Hypothesis]],
    config: DecodingConfig,
    num_best: int,
) -> Tensor:
    """Whether nothing that is live can still count, `[B]`; what falls out by the margin ends."""
    # What the limit has ended would go on for ever under a penalty that makes all scores equal.
    is_over_B = limit_B <= beam.ids_BKT.shape[2]
    # A log probability only falls, a length penalty only eases, and coverage costs nothing at best.
    best_BK = beam.log_probability_BK / _length(limit_B, config)[:, None]
    found = [finished[sentence] for sentence in beam.sentence_B.tolist()]
    if config.score_margin is not None:
        # GNMT's second pruning, by the best score that is still possible: none more than the margin
        # below the best finished one.
        lowest = [each[0].score - config.score_margin if each else -torch.inf for each in found]
        is_out_BK = best_BK < torch.tensor(lowest)[:, None]
        beam.log_probability_BK = beam.log_probability_BK.masked_fill(is_out_BK, -torch.inf)
        best_BK = best_BK.masked_fill(is_out_BK, -torch.inf)
    worst = [each[-1].score if len(each) == num_best else -torch.inf for each in found]
    return is_over_B | (best_BK.max(dim=1).values <= torch.tensor(worst))
