// The player's logic without a page: which frame and which entropy belong to a step.
const ClustersPlayer = (() => {
  // The last place whose step is not after this one: a training that has ended keeps its end.
  const placeAt = (steps, step) => Math.max(0, steps.findLastIndex((own) => own <= step));
  const entropyAt = (training, step) =>
    training.entropy[placeAt(training.entropy_steps, step)];
  const choicesAt = (training, step) => training.choices[placeAt(training.steps, step)];
  const lastStep = (trainings) => Math.max(...trainings.map(({ steps }) => steps.at(-1)));
  return { placeAt, entropyAt, choicesAt, lastStep };
})();

if (typeof module !== "undefined") module.exports = ClustersPlayer;

if (typeof document !== "undefined") {
  const { entropyAt, choicesAt, lastStep } = ClustersPlayer;
  const trainings = JSON.parse(document.querySelector("#trainings").textContent);
  const panels = [...document.querySelectorAll("[data-kind]")];
  const marks = panels.map((panel) => [...panel.querySelectorAll("use")]);
  const dots = [...document.querySelectorAll(".entropy .dot")];
  const [slider, button, told] = ["#step", "#play", "#told"].map((id) => document.querySelector(id));
  const numbers = document.querySelectorAll("[data-told]");
  const last = lastStep(trainings);
  const { left, width, top, height, most } = document.querySelector(".entropy").dataset;
  let timer = null;

  const show = () => {
    const step = Number(slider.value);
    trainings.forEach((training, k) => {
      const choices = choicesAt(training, step);
      marks[k].forEach((mark, n) => mark.setAttribute("class", `e${choices[n]}`));
      const here = Math.min(step, training.steps.at(-1));
      const entropy = entropyAt(training, here);
      dots[k].setAttribute("cx", Number(left) + (width * here) / last);
      dots[k].setAttribute("cy", Number(top) + height * (1 - entropy / most));
      const ended = step > training.steps.at(-1) ? ", ended" : "";
      numbers[k].textContent = `step ${here}${ended} · entropy ${entropy.toFixed(2)} nats`;
    });
    told.value = `step ${step} of ${last}`;
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  const play = () => {
    if (Number(slider.value) >= last) slider.value = 0;
    button.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + Number(slider.step);
      show();
      if (Number(slider.value) >= last) pause();
    }, 180);
    show();
  };
  button.addEventListener("click", () => (timer === null ? play() : pause()));
  slider.addEventListener("input", () => { pause(); show(); });
  document.querySelector(".steps").hidden = false;
  show();
  if (location.hash === "#playing") play();
}
