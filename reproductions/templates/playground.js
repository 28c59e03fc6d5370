// The page around mixture.js: controls, the plane of the vowels, and the curve of the error.
const STOP = 0.08; // section 3: training stops at this mean squared error
const LIVE = 0.05; // a smaller proportion everywhere counts as "effectively 0"
const HISTORY = 600; // points of the curve, thinned out as it grows

const by = (id) => document.getElementById(id);
const { cases, vowels, colours } = JSON.parse(by("data").textContent);
const plane = by("plane");
const curve = by("curve");
let state;

const wanted = () => ({
  numExperts: Number(by("experts").value),
  step: Math.round(10 * 2 ** Number(by("step").value)) / 10,
  seed: Number(by("seed").value) || 0,
  range: Number(by("range").value),
  cost: by("cost").value,
  speed: Number(by("speed").value),
});

const reset = () => {
  const { numExperts, seed, range } = wanted();
  const weights = Mixture.start(numExperts, seed, range);
  state = { weights, epoch: 0, every: 1, history: [Mixture.error(weights, cases)], playing: false };
  draw();
};

const advance = (count) => {
  const { step, cost } = wanted();
  for (let i = 0; i < count && !isOver(); i++) {
    Mixture.epoch(state.weights, cases, cost, step);
    state.epoch += 1;
    state.error = Mixture.error(state.weights, cases);
    if (state.epoch % state.every === 0) state.history.push(state.error);
    if (state.history.length > HISTORY) {
      state.history = state.history.filter((_, place) => place % 2 === 0);
      state.every *= 2;
    }
  }
};

const latest = () => state.error ?? state.history[0];
const isOver = () => !(latest() > STOP);

// Drawing. x and y are formants in kHz.
const bounds = {
  x: [Math.min(...cases.map((c) => c.x[0])) - 0.06, Math.max(...cases.map((c) => c.x[0])) + 0.06],
  y: [Math.min(...cases.map((c) => c.x[1])) - 0.15, Math.max(...cases.map((c) => c.x[1])) + 0.15],
};
const PAD = { left: 46, right: 8, top: 8, bottom: 40 };
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (expert) => colours[expert % colours.length];

const prepared = (canvas) => {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = Math.round(width * Number(canvas.dataset.ratio));
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.clearRect(0, 0, width, height);
  pen.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  return { pen, width, height };
};

const drawPlane = (proportions) => {
  const { pen, width, height } = prepared(plane);
  const inner = [width - PAD.left - PAD.right, height - PAD.top - PAD.bottom];
  const toX = (f1) => PAD.left + ((f1 - bounds.x[0]) / (bounds.x[1] - bounds.x[0])) * inner[0];
  const toY = (f2) => PAD.top + ((bounds.y[1] - f2) / (bounds.y[1] - bounds.y[0])) * inner[1];
  const fromX = (px) => bounds.x[0] + ((px - PAD.left) / inner[0]) * (bounds.x[1] - bounds.x[0]);
  const fromY = (py) => bounds.y[1] - ((py - PAD.top) / inner[1]) * (bounds.y[1] - bounds.y[0]);
  pen.save();
  pen.beginPath();
  pen.rect(PAD.left, PAD.top, ...inner);
  pen.clip();
  const chance = 1 / state.weights.gate.length;
  const size = 6;
  for (let px = PAD.left; px < width - PAD.right; px += size)
    for (let py = PAD.top; py < height - PAD.bottom; py += size) {
      const said = Mixture.answer(state.weights, [fromX(px + size / 2), fromY(py + size / 2), 1]);
      const largest = Math.max(...said.proportions);
      if (largest - chance < 1e-9) continue;
      pen.globalAlpha = (0.25 * (largest - chance)) / (1 - chance);
      pen.fillStyle = colour(said.proportions.indexOf(largest));
      pen.fillRect(px, py, size, size);
    }
  pen.globalAlpha = 1;
  cases.forEach((each) => drawVowel(pen, toX(each.x[0]), toY(each.x[1]), each));
  state.weights.experts.forEach((w, expert) => {
    const isLive = proportions.largest[expert] >= LIVE;
    pen.strokeStyle = isLive ? colour(expert) : style("--soft");
    pen.globalAlpha = isLive ? 1 : 0.6;
    pen.lineWidth = isLive ? 3 : 1;
    drawLine(pen, w, toX, toY, isLive ? expert : null);
  });
  pen.restore();
  drawAxes(pen, width, height, toX, toY);
};

const drawVowel = (pen, x, y, each) => {
  pen.fillStyle = each.target ? style("--ink") : "#b252b2";
  pen.font = "bold 14px 'DejaVu Sans', sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(vowels[each.vowel], x, y);
};

// Where an expert answers exactly 0.5: w1 F1 + w2 F2 + w3 = 0.
const drawLine = (pen, w, toX, toY, expert) => {
  const at = (f1) => -(w[2] + w[0] * f1) / w[1];
  const ends = bounds.x.map((f1) => [toX(f1), toY(at(f1))]);
  if (!ends.flat().every(Number.isFinite)) return;
  pen.beginPath();
  pen.moveTo(...ends[0]);
  pen.lineTo(...ends[1]);
  pen.stroke();
  pen.globalAlpha = 1;
  if (expert === null) return;
  const inside = [0.06, 0.2, 0.4, 0.6, 0.8, 0.94]
    .map((share) => bounds.x[0] + share * (bounds.x[1] - bounds.x[0]))
    .find((f1) => at(f1) > bounds.y[0] + 0.1 && at(f1) < bounds.y[1] - 0.1);
  if (inside === undefined) return;
  pen.fillStyle = colour(expert);
  pen.beginPath();
  pen.arc(toX(inside), toY(at(inside)), 10, 0, 7);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.font = "bold 12px 'DejaVu Sans', sans-serif";
  pen.fillText(String(expert + 1), toX(inside), toY(at(inside)));
};

const drawAxes = (pen, width, height, toX, toY) => {
  pen.strokeStyle = pen.fillStyle = style("--ink");
  pen.globalAlpha = 1;
  pen.lineWidth = 1;
  pen.strokeRect(PAD.left, PAD.top, width - PAD.left - PAD.right, height - PAD.top - PAD.bottom);
  pen.font = "12px 'DejaVu Sans', sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const f1 of [0.2, 0.4, 0.6, 0.8, 1]) pen.fillText(f1.toFixed(1), toX(f1), height - PAD.bottom + 5);
  pen.fillText("first formant F1 (kHz)", width / 2, height - 16);
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const f2 of [1, 1.5, 2, 2.5, 3]) pen.fillText(f2.toFixed(1), PAD.left - 5, toY(f2));
  pen.save();
  pen.translate(11, height / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText("second formant F2 (kHz)", 0, 0);
  pen.restore();
};

const drawCurve = () => {
  const { pen, width, height } = prepared(curve);
  const most = Math.max(0.3, ...state.history);
  const last = Math.max(100, (state.history.length - 1) * state.every);
  const toX = (epoch) => PAD.left + (epoch / last) * (width - PAD.left - PAD.right);
  const toY = (error) => PAD.top + (1 - error / most) * (height - PAD.top - PAD.bottom);
  pen.strokeStyle = pen.fillStyle = style("--ink");
  pen.lineWidth = 1;
  pen.setLineDash([2, 3]);
  pen.beginPath();
  pen.moveTo(PAD.left, toY(STOP));
  pen.lineTo(width - PAD.right, toY(STOP));
  pen.stroke();
  pen.setLineDash([]);
  pen.font = "12px 'DejaVu Sans', sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const error of [0, 0.1, 0.2, 0.3]) pen.fillText(error.toFixed(1), PAD.left - 5, toY(error));
  // Below the line, where no curve comes before it stops.
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.fillText("training stops at 0.08", PAD.left + 4, toY(STOP) + 3);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const share of [0, 0.5, 1])
    pen.fillText(Math.round(share * last), Math.min(toX(share * last), width - 24), height - PAD.bottom + 5);
  pen.fillText("epoch", width / 2, height - 16);
  pen.strokeStyle = style("--mark");
  pen.lineWidth = 2;
  pen.beginPath();
  state.history.forEach((error, place) => pen.lineTo(toX(place * state.every), toY(error)));
  pen.stroke();
};

const proportionsNow = () => {
  const number = state.weights.gate.length;
  const mean = Array(number).fill(0);
  const largest = Array(number).fill(0);
  for (const each of cases)
    Mixture.answer(state.weights, each.x).proportions.forEach((p, i) => {
      mean[i] += p / cases.length;
      largest[i] = Math.max(largest[i], p);
    });
  return { mean, largest };
};

const drawBars = ({ mean, largest }) => {
  by("bars").replaceChildren(
    ...mean.map((share, expert) => {
      const row = document.createElement("li");
      const isLive = largest[expert] >= LIVE;
      const name = document.createElement("span");
      name.textContent = `expert ${expert + 1}${isLive ? "" : ", unused"}`;
      const bar = document.createElement("span");
      bar.className = "bar";
      bar.style.width = `${(100 * share).toFixed(1)}%`;
      bar.style.background = isLive ? colour(expert) : "var(--soft)";
      const track = document.createElement("span");
      track.className = "track";
      track.append(bar);
      const amount = document.createElement("span");
      amount.textContent = `${Math.round(100 * share)} %`;
      row.append(name, track, amount);
      return row;
    }),
  );
};

const draw = () => {
  const { step } = wanted();
  by("step-value").value = step.toFixed(1);
  const proportions = proportionsNow();
  drawPlane(proportions);
  drawCurve();
  drawBars(proportions);
  const number = proportions.largest.filter((largest) => largest >= LIVE).length;
  const error = latest();
  const right = cases.filter((c) => Mixture.answer(state.weights, c.x).blend > 0.5 === c.target > 0.5);
  const share = Math.round((100 * right.length) / cases.length);
  by("status").value = Number.isFinite(error)
    ? `Epoch ${state.epoch}: error ${error.toFixed(3)}, ${share} % right, ${number} experts in use.` +
      (isOver() ? " The error has reached the stop." : "")
    : `Epoch ${state.epoch}: the weights have grown without end. Take a smaller step.`;
  by("play").textContent = state.playing ? "Pause" : "Play";
  document.documentElement.dataset.epoch = state.epoch;
};

let pending = 0;
const frame = () => {
  if (!state.playing) return;
  advance(wanted().speed);
  if (isOver()) state.playing = false;
  draw();
  pending = requestAnimationFrame(frame);
};

const play = (on) => {
  // A frame that still waits would go on beside the new one.
  cancelAnimationFrame(pending);
  state.playing = on;
  draw();
  if (on) pending = requestAnimationFrame(frame);
};

// A changed setting begins anew, and goes on playing if it played.
const renew = () => {
  const isPlaying = state.playing;
  reset();
  play(isPlaying);
};

by("play").addEventListener("click", () => {
  if (!state.playing && isOver()) reset();
  play(!state.playing);
});
by("one").addEventListener("click", () => { state.playing = false; advance(1); draw(); });
by("reset").addEventListener("click", reset);
for (const id of ["experts", "seed", "range", "cost"]) by(id).addEventListener("change", renew);
by("step").addEventListener("input", draw);
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.querySelector(".playground").hidden = false;
reset();
// Whoever asked for less motion starts it by hand.
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
