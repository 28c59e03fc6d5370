// The token explorer's page: two columns, each with the same text, coloured by its own model.
const text = Tokens.open(JSON.parse(document.querySelector("#data").textContent));
const SIZE = 140, AROUND = 7, MOST = 24, SAID = 10;
const RIGHT_TO_LEFT = ["Arabic", "Persian"];
const language = document.querySelector("#language");
const position = document.querySelector("#position");
const buttons = { back: document.querySelector("#back"), on: document.querySelector("#on") };
const columns = [...document.querySelectorAll(".column")].map((element, i) => ({
  model: text.models[i],
  words: element.querySelector(".words"),
  chosen: element.querySelector(".chosen"),
  places: element.querySelector(".places"),
}));
const state = { kind: 0, page: 0, place: 0, experts: columns.map(() => null) };

const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...children);
  return element;
};
const percent = (share) => `${Math.round(100 * share)} %`;
const quoted = (piece) => `“${Tokens.shown(piece).trim() || "space"}”`;

const draw = () => {
  const { number, last, from, to } = Tokens.pageOf(text, state.kind, state.page, SIZE);
  state.page = number;
  position.value = `page ${number + 1} of ${last + 1}`;
  buttons.back.disabled = number === 0;
  buttons.on.disabled = number === last;
  const direction = RIGHT_TO_LEFT.includes(text.kinds[state.kind].name) ? "rtl" : "ltr";
  columns.forEach(({ model, words }) => {
    words.dir = direction;
    words.replaceChildren(...Array.from({ length: to - from }, (_, i) => {
      const place = from + i, expert = Tokens.first(model, place);
      const element = make("span", {
        class: "token", role: "button", tabindex: "-1", "data-place": place,
        style: `--h:${Tokens.hue(expert)}`,
      }, Tokens.word(text, place));
      element.title = `expert ${expert}`;
      return element;
    }));
  });
  choose(Math.min(to - 1, Math.max(from, state.place)));
};

// A word: its experts in either model, and their other words.
const choose = (place, focused = null) => {
  state.place = place;
  state.experts = columns.map(({ model }) => Tokens.first(model, place));
  columns.forEach((column, i) => {
    const items = Tokens.expertsOf(column.model, place).map(({ expert, weight }) => {
      const own = Tokens.commonest(text, column.model, expert);
      // Each word for itself, or a word that runs from right to left would turn its number round.
      const said = own.slice(0, SAID).flatMap(([piece, count], number) =>
        [number ? ", " : "", make("bdi", {}, quoted(piece)), ` ${count}`]);
      const rest = own.length > SAID ? ` and ${own.length - SAID} more` : "";
      return make("li", {}, button(i, expert), ` weighs ${weight} %: `, ...said, rest);
    });
    column.chosen.replaceChildren(
      make("h3", {}, `Experts of ${quoted(text.pieces[text.words[place]])}`),
      make("ul", {}, ...items));
    open(i, state.experts[i]);
  });
  const token = columns[focused ?? 0].words.querySelector(`[data-place="${place}"]`);
  if (focused !== null && token) token.focus();
};

const button = (i, expert) => {
  const element = make("button", {
    type: "button", class: "expert-button", "data-expert": expert, "aria-pressed": "false",
    style: `--h:${Tokens.hue(expert)}`,
  }, `Expert ${expert}`);
  element.addEventListener("click", () => open(i, expert));
  return element;
};

// An expert: its words in their places, and how one-sided it is beside chance.
const open = (i, expert) => {
  const { model, words, chosen, places } = columns[i];
  state.experts[i] = expert;
  const own = model.places[expert], [[piece, count]] = Tokens.commonest(text, model, expert);
  const [[kind, ofKind]] = Tokens.languages(text, model, expert);
  const rows = Tokens.spread(own, MOST).map((place) => {
    const { kind: name, before, word, after } = Tokens.context(text, place, AROUND);
    const direction = RIGHT_TO_LEFT.includes(name) ? "rtl" : "ltr";
    return make("li", {}, make("span", { class: "tongue" }, name), " ",
      make("bdi", { dir: direction }, before.trimStart(), make("b", {}, word), after));
  });
  places.replaceChildren(
    make("h3", {}, `Expert ${expert} in this text`),
    make("p", { class: "share" },
      `It answers for ${own.length} of ${text.words.length.toLocaleString("en")} subwords. `
      + `${percent(count / own.length)} are \u2068${quoted(piece)}\u2069 (by chance `
      + `${(100 * Tokens.overall(text, piece)).toFixed(1)} %), and ${percent(ofKind / own.length)} `
      + `are ${kind} (by chance ${percent(1 / text.kinds.length)}).`),
    // It scrolls, so that keys must reach it.
    make("ol", { tabindex: "0", "aria-label": `Places of expert ${expert}` }, ...rows),
    ...(own.length > MOST ? [make("p", { class: "share" }, 
      `These are ${MOST} of its ${own.length} places, evenly over the text.`)] : []));
  chosen.querySelectorAll("button").forEach((each) =>
    each.setAttribute("aria-pressed", String(Number(each.dataset.expert) === expert)));
  words.querySelectorAll(".token").forEach((token) => {
    const place = Number(token.dataset.place), isChosen = place === state.place;
    const own = Tokens.expertsOf(model, place).some((each) => each.expert === expert);
    token.classList.toggle("own", own);
    token.classList.toggle("here", isChosen);
    token.tabIndex = isChosen ? 0 : -1;
    token.setAttribute("aria-pressed", String(isChosen));
  });
};

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10 };
columns.forEach(({ words }, i) => {
  words.addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) choose(Number(token.dataset.place), i);
  });
  words.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      columns[i].chosen.querySelector("button").focus();
    } else if (step !== undefined) {
      event.preventDefault();
      const isSideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
      const { start, end } = text.kinds[state.kind];
      const ahead = isSideways && words.dir === "rtl" ? -step : step;
      const place = Math.min(end - 1, Math.max(start, state.place + ahead));
      const page = Math.floor((place - start) / SIZE);
      if (page !== state.page) {
        Object.assign(state, { page, place });
        draw();
      }
      choose(place, i);
    }
  });
});
const turn = (by) => {
  state.page += by;
  state.place = text.kinds[state.kind].start + state.page * SIZE;
  draw();
};
buttons.back.addEventListener("click", () => turn(-1));
buttons.on.addEventListener("click", () => turn(1));
language.replaceChildren(...text.kinds.map(({ name }, i) => make("option", { value: i }, name)));
language.addEventListener("change", () => {
  Object.assign(state, { kind: Number(language.value), page: 0 });
  state.place = text.kinds[state.kind].start;
  draw();
});
document.querySelector(".explorer").hidden = false;
draw();
