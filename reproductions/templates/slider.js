for (const figure of document.querySelectorAll("[data-slider]")) {
  const frames = figure.querySelectorAll(".frame");
  const range = figure.querySelector("input[type=range]");
  const output = figure.querySelector("output");
  const show = () => {
    frames.forEach((frame, step) => { frame.hidden = step !== Number(range.value); });
    output.value = frames[range.value].dataset.label;
    range.setAttribute("aria-valuetext", output.value);
  };
  range.addEventListener("input", show);
  range.parentElement.hidden = false;
  show();
}
