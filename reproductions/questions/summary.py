"""The groups of claims that the summary of the questions' report speaks of."""

from reproductions.summary import Group

GROUPS = (
    Group("help-vowel", "a mixture helps where vowels fall into two pairs"),
    Group("help-clusters", "a mixture helps where the gate sees clusters"),
    Group("help-two-clusters", "two clusters are enough for that"),
    Group(
        "help-more-clusters",
        "eight clusters gain more than two",
        lambda runs: (
            "one network already misses a third of the examples with two clusters, since what "
            "misleads it is the signal of one other cluster, and every example has just one"
        ),
    ),
    Group("help-text", "32 experts predict text better than a layer of equal cost"),
    Group("leaves", "a collapsed gate comes back"),
    Group("stays", "without balance losses the collapsed translation gate stays"),
    Group("balance", "balance losses spread the load"),
    Group("frozen", "a gate that cannot learn costs"),
    Group("identical", "symmetry alone keeps identical experts identical"),
    Group("noise-breaks", "a little noise parts them"),
    Group("competition", "competition parts them further"),
    Group("routing-noise", "routing noise parts identical experts"),
    Group(
        "no-noise",
        "without any noise they do not sort the data",
        lambda runs: (
            "ties go to the first expert, which alone learns at first and so parts from the others"
        ),
    ),
    Group("text-parts", "identical experts of the translation mixture part"),
    Group("at-random", "who takes which cluster is chance"),
    Group("filters-over-noise", "the experts' start decides more than the routing noise"),
    Group("text-groups", "seeds group words alike"),
    Group("gate", "the gate learns the groups"),
)
