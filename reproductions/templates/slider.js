// Sliders over training, each with a button that plays it.
const PAUSE = 350;  // milliseconds between two frames

for (const figure of document.querySelectorAll("[data-slider]")) {
  const frames = figure.querySelectorAll(".frame");
  const range = figure.querySelector("input[type=range]");
  const output = figure.querySelector("output");
  const button = figure.querySelector(".play");
  let timer = 0;
  const show = () => {
    frames.forEach((frame, step) => { frame.hidden = step !== Number(range.value); });
    output.value = frames[range.value].dataset.label;
    range.setAttribute("aria-valuetext", output.value);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
  };
  const advance = () => {
    range.value = Number(range.value) + 1;
    show();
    if (range.value === range.max) stop();
  };
  button.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (range.value === range.max) { range.value = 0; show(); }
    button.textContent = "Pause";
    button.setAttribute("aria-pressed", "true");
    timer = setInterval(advance, PAUSE);
  });
  range.addEventListener("input", () => { stop(); show(); });
  range.parentElement.hidden = false;
  button.hidden = false;
  show();
}

// A link to a folded claim opens what it is folded into.
const unfold = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
