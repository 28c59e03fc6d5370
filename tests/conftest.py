"""What all tests share: reproducible examples, and no quarrel over the cores."""

import torch
from hypothesis import settings

# Examples are the same in every run, so that a red test is red for everybody; no deadline, because
# the first call into a library can take a second.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")
torch.set_num_threads(1)
