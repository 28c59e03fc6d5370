// The mixture of experts of 1991, in the arithmetic of moe.batched_mixture, for one run.
// Jacobs, Jordan, Nowlan & Hinton (1991), Neural Computation 3, sections 1 and 3.
//
// A case is {x: [F1, F2, 1], target: 0 or 1}. Weights are rows of three numbers, one row per expert.
const Mixture = (() => {
  const dot = (w, x) => w[0] * x[0] + w[1] * x[1] + w[2] * x[2];
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));

  const softmax = (logits) => {
    const largest = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  };

  // What gate and experts say of one input.
  const answer = (weights, x) => {
    const logits = weights.gate.map((w) => dot(w, x));
    // Section 1: p_i = exp(x_i) / sum_j exp(x_j)
    const proportions = softmax(logits);
    const outputs = weights.experts.map((w) => sigmoid(dot(w, x)));
    const blend = outputs.reduce((sum, output, i) => sum + proportions[i] * output, 0);
    return { logits, proportions, outputs, blend };
  };

  // Derivatives by the gate's logits and by the experts' outputs, for one case.
  const gradients = {
    // Equation 1.1: E = (d - sum_i p_i o_i)^2
    blend_error: ({ proportions, outputs, blend }, target) => ({
      logits: proportions.map((p, i) => 2 * p * (blend - target) * (outputs[i] - blend)),
      outputs: proportions.map((p) => 2 * p * (blend - target)),
    }),
    // Equation 1.2: E = sum_i p_i (d - o_i)^2; its gradient by o_i is equation 1.4
    expected_error: ({ proportions, outputs }, target) => {
      const weighted = proportions.map((p, i) => p * (outputs[i] - target) ** 2);
      const expected = weighted.reduce((sum, error) => sum + error, 0);
      return {
        logits: proportions.map((p, i) => weighted[i] - p * expected),
        outputs: proportions.map((p, i) => 2 * p * (outputs[i] - target)),
      };
    },
    // Equation 1.3: E = -log sum_i p_i exp(-(d - o_i)^2 / 2); its gradient by o_i is equation 1.5
    mixture_likelihood: ({ logits, proportions, outputs }, target) => {
      const h = softmax(logits.map((logit, i) => logit - 0.5 * (outputs[i] - target) ** 2));
      return {
        logits: proportions.map((p, i) => p - h[i]),
        outputs: outputs.map((output, i) => h[i] * (output - target)),
      };
    },
  };

  // The mean squared error of the blended answer, which the paper's stop watches.
  const error = (weights, cases) =>
    cases.reduce((sum, each) => sum + (answer(weights, each.x).blend - each.target) ** 2, 0) /
    cases.length;

  // One step of steepest descent over all cases, in place: w := w - step dE/dw. Returns the error
  // before it.
  const epoch = (weights, cases, cost, step) => {
    const gate = weights.gate.map(() => [0, 0, 0]);
    const experts = weights.experts.map(() => [0, 0, 0]);
    let squared = 0;
    for (const { x, target } of cases) {
      const said = answer(weights, x);
      squared += (said.blend - target) ** 2;
      const by = gradients[cost](said, target);
      for (let i = 0; i < gate.length; i++) {
        // Through the logistic unit: do/da = o (1 - o)
        const response = by.outputs[i] * said.outputs[i] * (1 - said.outputs[i]);
        for (let k = 0; k < 3; k++) {
          gate[i][k] += by.logits[i] * x[k];
          experts[i][k] += response * x[k];
        }
      }
    }
    const rate = step / cases.length;
    for (let i = 0; i < gate.length; i++)
      for (let k = 0; k < 3; k++) {
        weights.gate[i][k] -= rate * gate[i][k];
        weights.experts[i][k] -= rate * experts[i][k];
      }
    return squared / cases.length;
  };

  // Train until the error is at most `stop`, or for `most` epochs.
  const train = (weights, cases, cost, step, stop, most) => {
    const errors = [];
    for (let done = 0; done < most; done++) {
      errors.push(error(weights, cases));
      if (errors[done] <= stop) return { epochs: done, errors };
      epoch(weights, cases, cost, step);
    }
    return { epochs: null, errors };
  };

  // Uniform numbers below one from a seed (mulberry32).
  const random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  // Experts start anywhere in (-range, range), the gate at zero: all proportions are equal.
  const start = (numExperts, seed, range) => {
    const next = random(seed);
    const row = () => [0, 0, 0].map(() => (2 * next() - 1) * range);
    const rows = Array.from({ length: numExperts });
    return { experts: rows.map(row), gate: rows.map(() => [0, 0, 0]) };
  };

  return { answer, epoch, error, start, train };
})();
