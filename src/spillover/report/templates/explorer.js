"use strict";
(() => {
  const section = document.getElementById("explorer");
  if (!section) return;
  const [HEIGHT, LEFT, BELOW, ABOVE, RIGHT] = [220, 48, 34, 10, 12]; // of the chart, and its margins, in pixels
  const START = 60; // characters of a text that name an item
  const ENGLISH = "en"; // shown beside another language, for those who do not read it
  const dashes = JSON.parse(section.dataset.dashes);
  const blocks = JSON.parse(document.getElementById("explorations").textContent);
  const [task, language, item, lens] = section.querySelectorAll("select");
  const part = (name) => section.querySelector(name);
  const [status, texts, curves, legend] = ["[role=status]", ".texts", ".curves", "figcaption"].map(part);
  const [table, neighborhood, neighbors] = ["table", ".neighborhood", ".neighbors"].map(part);
  const cells = blocks.filter(({ code }) => code);
  const nameOf = (code) => cells.find((cell) => cell.code === code)?.language ?? code;
  let drawn = null; // what the chart shows, to draw it again in another width

  const percent = (value) => {
    if (value === null) return "–";
    const share = 100 * value;
    return share < 0.01 ? "<0.01%" : `${share.toFixed(share < 0.1 ? 2 : share < 10 ? 1 : 0)}%`;
  };

  const short = (text) => (text.length > START ? `${text.slice(0, START)}…` : text);

  const options = (select, values, names = values) => {
    const before = select.value;
    select.replaceChildren(...values.map((value, place) => element("option", names[place], { value })));
    if (values.includes(before)) select.value = before;
  };

  const svg = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };

  const chart = () => {
    if (!drawn) return;
    const { lines, layers, about } = drawn;
    const width = Math.max(240, curves.clientWidth);
    const top = Math.max(...lines.flatMap(({ values }) => values), 1e-9);
    const x = (layer) => LEFT + (layer / Math.max(1, layers - 1)) * (width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BELOW - (value / top) * (HEIGHT - BELOW - ABOVE);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": about });
    [0, 0.5, 1].forEach((share) => {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(share * top), y2: y(share * top) }));
      picture.append(svg("text", { x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, share ? percent(share * top) : "0%"));
    });
    const step = Math.ceil(layers / (width / 40));
    for (let layer = 0; layer < layers; layer += step) {
      picture.append(svg("text", { x: x(layer), y: HEIGHT - BELOW + 16, "text-anchor": "middle" }, layer));
    }
    picture.append(svg("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "layer"));
    lines.forEach(({ values, word, dash, name }) => {
      const points = values.map((value, layer) => `${x(layer).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
      picture.append(svg("path", { class: word, d: `M${points}`, "stroke-dasharray": dash.join(" ") }));
      values.forEach((value, layer) => {
        const point = svg("circle", { class: word, cx: x(layer), cy: y(value), r: 2.5 });
        point.append(svg("title", {}, `${name}, layer ${layer}: ${percent(value)}`));
        picture.append(point);
      });
    });
    curves.replaceChildren(picture);
  };

  const sample = ({ word, dash, name }) => {
    const made = element("span", "", { class: "sample", dir: "auto" });
    const line = svg("svg", { width: 32, height: 8, "aria-hidden": "true" });
    line.append(svg("path", { class: word, d: "M0 4L32 4", "stroke-dasharray": dash.join(" ") }));
    made.append(line, name);
    return made;
  };

  const showCurves = (cell, readings, answers, i) => {
    const words = cell.code === ENGLISH ? ["english"] : ["english", "native"];
    const names = { english: `“${answers[0]}” in English`, native: `“${answers[1]}” in ${cell.language}` };
    const lines = readings.flatMap((reading, place) => words.map((word) => ({
      values: reading[word][i], word, dash: dashes[place % dashes.length], name: `${cell.arms[place]}, ${names[word]}`,
    })));
    const layers = lines[0].values.length;
    if (lines[0].values.includes(null)) {
      drawn = null;
      curves.replaceChildren(element("p", `${cell.language} has the same word as English for this answer, so the two cannot be told apart.`, { dir: "auto" }));
      legend.replaceChildren();
      return;
    }
    const last = lines.map(({ values, name }) => `${name} ${percent(values.at(-1))}`).join("; ");
    drawn = { lines, layers, about: `Probability of the right answer by layer. At the last layer: ${last}.` };
    legend.replaceChildren("Probability of the right answer by layer: ", ...lines.map(sample));
    chart();
  };

  const showTokens = (cell, readings, vocabulary, i) => {
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    head.append(element("th", "layer", { scope: "col", class: "key" }));
    const both = cell.code !== ENGLISH;
    cell.arms.forEach((arm) => {
      head.append(element("th", `${arm}: next tokens`, { scope: "col", class: "tokens", dir: "auto" }));
      head.append(element("th", "English", { scope: "col", class: "value" }));
      if (both) head.append(element("th", cell.language, { scope: "col", class: "value", dir: "auto" }));
    });
    const body = table.createTBody();
    readings[0].tokens[i].forEach((_, layer) => {
      const row = body.insertRow();
      row.append(element("th", layer, { scope: "row", class: "key" }));
      readings.forEach((reading) => {
        const tokens = element("td", "", { class: "tokens" });
        reading.tokens[i][layer].forEach((token, k) => {
          const one = element("span", "", { class: "token" });
          one.append(element("bdi", vocabulary[token]), ` ${percent(reading.probabilities[i][layer][k])}`);
          tokens.append(one, " ");
        });
        row.append(tokens, element("td", percent(reading.english[i][layer]), { class: "value" }));
        if (both) row.append(element("td", percent(reading.native[i][layer]), { class: "value" }));
      });
    });
  };

  const showNeighbors = (cell, columns, fields, i) => {
    neighbors.replaceChildren();
    if (!columns.neighbors.length) {
      neighborhood.textContent = cell.others
        ? "The items of this task are no translations of each other, so they have no neighbors."
        : "Only one language was analyzed, so there are no neighbors.";
      return;
    }
    neighborhood.textContent = `By the cosine of the states after layer ${cell.layer}, averaged over an item's own tokens. `
      + `Of the ${cell.candidates} items in a language, one is the item's translation.`;
    columns.neighbors.forEach((of, place) => {
      const box = element("div");
      box.append(element("h5", cell.arms[place], { dir: "auto" }));
      box.append(element("p", `Its translation is the nearest item in ${of.translations[i]} of ${cell.others} other languages.`, { dir: "auto" }));
      const list = box.appendChild(element("ol"));
      of.languages[i].forEach((code, k) => {
        const id = of.ids[i][k];
        const row = list.appendChild(element("li"));
        const same = id === columns.ids[i];
        row.append(element("p", `${nameOf(code)}, ${of.cosines[i][k].toFixed(3)}: ${same ? "its translation" : `another item, ${id}`}`, { class: same ? "same" : "other", dir: "auto" }));
        row.append(element("p", (fields[code]?.[id] ?? []).join(" · "), { lang: code, dir: "auto", class: "text" }));
      });
      neighbors.append(box);
    });
  };

  const showItem = (cell, columns, fields, i) => {
    const id = columns.ids[i];
    texts.replaceChildren(element("h4", id, { dir: "auto" }));
    [cell.code, ...(cell.code === ENGLISH ? [] : [ENGLISH])].forEach((code) => {
      (fields[code]?.[id] ?? []).forEach((text) => texts.append(element("p", text, { lang: code, dir: "auto", class: code === cell.code ? "text" : "reference" })));
    });
    const results = cell.arms.map((arm, place) => `${arm} ${columns.right[place][i] ? "right" : "wrong"}`).join(", ");
    texts.append(element("p", `In the evaluation: ${results}.`, { dir: "auto", class: "files" }));
  };

  const show = async () => {
    const cell = cells.find((each) => each.task === task.value && each.code === language.value);
    part(".shown").hidden = !cell;
    part(".shown").ariaBusy = cell !== undefined;
    if (!cell) {
      status.textContent = "This language was not read in this task.";
      return;
    }
    const choice = () => [task.value, language.value].join("\n");
    const wanted = choice();
    try {
      const [columns, fields] = await Promise.all([unpack(cell), unpack(blocks.find((block) => !block.code && block.task === cell.task))]);
      if (wanted !== choice()) return; // chosen anew in the meantime
      options(item, columns.ids, columns.ids.map((id) => `${id}: ${short((fields[ENGLISH]?.[id] ?? fields[cell.code][id] ?? []).join(" · "))}`));
      options(lens, cell.lenses);
      const [i, readings] = [columns.ids.indexOf(item.value), columns.readings[cell.lenses.indexOf(lens.value)]];
      showItem(cell, columns, fields, i);
      showCurves(cell, readings, columns.answers[i], i);
      showTokens(cell, readings, columns.vocabulary, i);
      showNeighbors(cell, columns, fields, i);
      status.textContent = `${item.value} in ${cell.language}, ${lens.value} lens.`;
      part(".shown").ariaBusy = false;
    } catch (error) {
      if (wanted !== choice()) return;
      part(".shown").hidden = true;
      part(".shown").ariaBusy = false;
      status.textContent = `This part of the explorer is in the file ${error.message}, which is missing beside this page.`;
    }
  };

  [task, language, item, lens].forEach((control) => control.addEventListener("input", show));
  new ResizeObserver(chart).observe(curves);
  show();
})();
