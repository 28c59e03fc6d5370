"""The runs of the study by what they are for, and their labels."""

SETTINGS = (1, 2, 3, 4)
KINDS = ("cubic", "linear")
KIND_COLOURS = {"cubic": "blue", "linear": "vermillion"}
BALANCED = ("balanced_cubic", "balanced_linear")
WIDTHS = (80, 128, 512)
ACTIVATIONS = ("linear", "cubic", "relu", "celu", "gelu", "tanh")
ACTIVATION_DATA = {"verify": "alpha, beta, gamma in [1, 2]", "1": "setting 1", "2": "setting 2"}
ACTIVATION_RUNS = tuple(
    f"activations_{data}_{activation}" for data in ACTIVATION_DATA for activation in ACTIVATIONS
)
TUNED_BOUND = {setting: (f"tuned_{setting}_cubic", f"tuned_{setting}_gelu") for setting in (3, 4)}

LADDER = (
    "as coded",
    "no noise in evaluation",
    "logistic loss",
    "softmax as gate value",
    "no early stop",
    "Frobenius norm, no bias",
    "one head, normal start: as written",
)
"""What each step from the code to the text adds."""

SWEEP = {
    "coded_1_cubic": "as coded",
    "sweep_gate_step_0001": "gate step 0.001 (0.1)",
    "sweep_gate_step_001": "gate step 0.01",
    "sweep_gate_step_1": "gate step 1",
    "sweep_init_00001": "init scale 0.0001 (0.001)",
    "sweep_init_001": "init scale 0.01",
    "sweep_init_01": "init scale 0.1",
    "sweep_init_1": "init scale 1",
    "sweep_plain_gradient": "plain gradient",
    "sweep_plain_gradient_step_1": "plain gradient, step 1",
    "sweep_no_noise": "no routing noise",
    "sweep_experts_1": "1 expert (8)",
    "sweep_experts_4": "4 experts",
    "sweep_experts_6": "6 experts",
    "sweep_experts_16": "16 experts",
    "sweep_input_1": "inputs times 1 (10)",
    "sweep_balance_001": "balance weight 0.01 (0)",
}
"""One setting at a time, cubic experts; in brackets the usual value."""
