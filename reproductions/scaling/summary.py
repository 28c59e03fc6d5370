"""The groups of claims that the summary of the scaling report speaks of."""

from reproductions.summary import Group

GROUPS = (
    Group("flat-cost", "cost per token is flat in the number of experts"),
    Group("near-limit", "our layer is near its limit"),
    Group("skew", "skewed routing costs no more"),
    Group("two-level-gate", "the two-level gate is cheap beside the experts"),
    Group("two-level-cheaper", "the two-level gate is cheaper than the flat one"),
    Group("faster-than", "our layer is faster than the usual port"),
)
