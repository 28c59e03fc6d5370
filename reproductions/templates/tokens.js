// What the token explorer knows of its text: which expert answers which subword, and where.
// Nothing here knows a page. Places count subwords from the start of the whole text.
const Tokens = (() => {
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  // 16 bit numbers, the low byte first, whatever order the machine has.
  const pairs = (text) => {
    const view = new DataView(bytes(text).buffer);
    return Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true));
  };

  // The data as it is written by reproductions.explorers.tokens, with an index of experts.
  const open = (data) => {
    const words = pairs(data.words);
    const models = data.models.map((model) => {
      const experts = pairs(model.experts);
      const places = Array.from({ length: model.num_experts }, () => []);
      experts.forEach((expert, i) => places[expert].push(Math.floor(i / model.k)));
      return { ...model, experts, weights: bytes(model.weights), places };
    });
    const kinds = data.kinds.map((kind, i) => ({
      ...kind, end: i + 1 < data.kinds.length ? data.kinds[i + 1].start : words.length,
    }));
    return { pieces: data.pieces, words, kinds, models, chance: data.chance };
  };

  const kindOf = (text, place) => text.kinds.findLast((kind) => kind.start <= place);

  // A subword as it is read: "▁" begins a word, "</s>" ends a chapter.
  const shown = (piece) => (piece === "</s>" ? " ¶" : piece.replaceAll("▁", " "));
  const word = (text, place) => shown(text.pieces[text.words[place]]);

  // The k experts of a place with their weights in percent, the largest first.
  const expertsOf = (model, place) =>
    Array.from({ length: model.k }, (_, i) => ({
      expert: model.experts[place * model.k + i], weight: model.weights[place * model.k + i],
    }));

  const first = (model, place) => model.experts[place * model.k];

  const counted = (values) => {
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
    // A sort that keeps the order of equal ones: the subword that came first stays first.
    return [...counts].sort((one, other) => other[1] - one[1]);
  };

  // Subwords of an expert and languages of its words, each with how often, the commonest first.
  const commonest = (text, model, expert) => counted(
    model.places[expert].map((place) => text.pieces[text.words[place]]));
  const languages = (text, model, expert) => counted(
    model.places[expert].map((place) => kindOf(text, place).name));

  // How often a subword of the whole text is this one.
  const overall = (text, piece) => {
    const number = text.pieces.indexOf(piece);
    return text.words.filter((own) => own === number).length / text.words.length;
  };

  // A place with the text around it, which never runs into another language.
  const context = (text, place, width) => {
    const { start, end, name } = kindOf(text, place);
    const join = (from, to) => Array.from({ length: Math.max(0, to - from) },
      (_, i) => word(text, from + i)).join("");
    return {
      place, kind: name, word: word(text, place),
      before: join(Math.max(start, place - width), place),
      after: join(place + 1, Math.min(end, place + 1 + width)),
    };
  };

  // The places of a page of a language's text; numbers beyond its ends give the nearest page.
  const pageOf = (text, kind, number, size) => {
    const { start, end } = text.kinds[kind];
    const last = Math.ceil((end - start) / size) - 1;
    const own = Math.min(last, Math.max(0, number));
    const from = start + own * size;
    return { number: own, last, from, to: Math.min(end, from + size) };
  };

  // At most so many of a list, evenly over it, so that no language comes first by its place alone.
  const spread = (list, most) => list.length <= most ? list
    : Array.from({ length: most }, (_, i) => list[Math.floor(i * list.length / most)]);

  // An angle for every expert: neighbours in number are far apart (the golden angle).
  const hue = (expert) => Math.round((expert * 137.508) % 360);

  return { open, kindOf, word, shown, expertsOf, first, commonest, languages, overall, context,
    pageOf, spread, hue };
})();
if (typeof module !== "undefined") module.exports = Tokens;
