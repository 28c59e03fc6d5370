"""Experts spread over processes, everything else repeated in each of them.

Every rank keeps its own tokens and holds some of the experts; rows travel to their experts and
back. Source: Shazeer et al. (2017), section 3.1: "mixing data parallelism and model parallelism".

The convention throughout: what is minimised is the SUM of the ranks' objectives. A mean over
tokens is therefore each rank's sum, divided by the number of tokens of all ranks. Losses of the
whole batch (`over_all_ranks`) enter every rank's objective in full and count once. All ranks must
run forward and backward equally often, also a rank without tokens.

    device = start_process_group()
    mine = local_experts(num_experts)
    model = MoE(gate, ExpertParallel(FeedForwardExperts(len(mine), 512, 2048)))
    copy_from_first_rank(model)
    ...
    objective.backward()
    sum_gradients(model)
    optimiser.step()
    ...
    stop_process_group()

Checkpoints: `moe.parallel.checkpoint`.
"""

from moe.parallel.experts import ExpertParallel, local_experts
from moe.parallel.replicas import (
    copy_from_first_rank,
    over_all_ranks,
    start_process_group,
    stop_process_group,
    sum_gradients,
    sum_over_ranks,
)

__all__ = [
    "ExpertParallel",
    "copy_from_first_rank",
    "local_experts",
    "over_all_ranks",
    "start_process_group",
    "stop_process_group",
    "sum_gradients",
    "sum_over_ranks",
]
