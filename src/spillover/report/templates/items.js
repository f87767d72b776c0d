"use strict";
(() => {
  const section = document.getElementById("items");
  if (!section) return;
  const AT_ONCE = 20;
  const REFERENCE = section.dataset.reference; // shown beside another language, for those who do not read it
  const [sheets, compared] = ["sheets", "compared"].map((id) => JSON.parse(document.getElementById(id).textContent));
  const [task, language, change] = section.querySelectorAll("select");
  const search = section.querySelector("input");
  const [list, status, more] = ["ol", "[role=status]", "button"].map((name) => section.querySelector(name));
  let shown = { rows: [], draw: () => {}, count: 0 };

  const missing = (error) => {
    status.textContent = `These items are in the file ${error.message}, which is missing beside this page.`;
    list.ariaBusy = false;
    return null;
  };

  const kind = (arms, columns, i) => {
    const [before, after] = compared.map((arm) => columns.right[arms.indexOf(arm)][i]);
    return before === after ? (after ? "right" : "wrong") : after ? "fixed" : "broken";
  };

  const scores = (arms, columns, i, labels) => {
    const table = element("table");
    const head = table.createTHead().insertRow();
    ["label", ...arms].forEach((name) => head.append(element("th", name, { scope: "col" })));
    const body = table.createTBody();
    labels.slice(0, columns.scores[0][i].length).forEach((label, k) => { // some items have fewer choices
      const row = body.insertRow();
      row.append(element("th", columns.gold[i] === k ? `${label} (right answer)` : label, { scope: "row", dir: "auto", class: "key" }));
      arms.forEach((_, place) => {
        const value = columns.scores[place][i][k].toFixed(2).replace("-", "−");
        const chosen = columns.chosen[place][i] === k;
        row.append(element("td", chosen ? `${value} chosen` : value, { class: chosen ? "value chosen" : "value" }));
      });
    });
    return table;
  };

  const answers = (arms, columns, i, code) => {
    const table = element("table");
    const head = table.createTHead().insertRow();
    ["arm", "answer", "result"].forEach((name) => head.append(element("th", name, { scope: "col" })));
    const body = table.createTBody();
    arms.forEach((arm, place) => {
      const row = body.insertRow();
      const [reason, score] = [columns.reasons[place][i], columns.scores[place][i]];
      row.append(element("th", arm, { scope: "row", dir: "auto", class: "key" }));
      row.append(element("td", columns.answers[place][i] || "(nothing)", { dir: "auto", lang: code, class: "answer" }));
      row.append(element("td", score > 0 && score < 1 ? `${reason}, score ${score.toFixed(2)}` : reason, { class: `reason ${reason.replace(" ", "-")}` }));
    });
    return table;
  };

  const matches = (columns, i) => {
    const words = search.value.trim().toLowerCase();
    const parts = [columns.ids[i], ...columns.texts[i], ...(columns.golds ? columns.golds[i] : [])];
    if (columns.answers) parts.push(...columns.answers.map((row) => row[i]), ...columns.reasons.map((row) => row[i]));
    return !words || parts.some((text) => text.toLowerCase().includes(words));
  };

  const item = (sheet, columns, reference, i) => {
    const made = element("li");
    made.append(element("h4", `${columns.ids[i]}: ${kind(sheet.arms, columns, i)}`, { dir: "auto" }));
    columns.texts[i].forEach((text) => made.append(element("p", text, { lang: sheet.code, dir: "auto" })));
    const place = reference && sheet.code !== REFERENCE ? reference.ids.indexOf(columns.ids[i]) : -1;
    if (place >= 0) {
      reference.texts[place].forEach((text) => made.append(element("p", text, { lang: REFERENCE, dir: "auto", class: "reference" })));
    }
    if (columns.answers) {
      made.append(element("p", `Right: ${columns.golds[i].join(" · ")}`, { lang: sheet.code, dir: "auto", class: "gold" }));
      made.append(answers(sheet.arms, columns, i, sheet.code));
    } else {
      made.append(scores(sheet.arms, columns, i, sheet.labels));
    }
    return made;
  };

  const extend = () => {
    const rows = shown.rows.slice(shown.count, shown.count + AT_ONCE);
    list.append(...rows.map(shown.draw));
    shown.count += rows.length;
    more.hidden = shown.count >= shown.rows.length;
    status.textContent = `${shown.rows.length} of ${shown.all} items, ${shown.count} shown.`;
  };

  const show = async () => {
    const own = sheets.filter((sheet) => sheet.task === task.value);
    const sheet = own.find(({ code }) => code === language.value);
    list.replaceChildren();
    list.ariaBusy = sheet !== undefined;
    more.hidden = true;
    if (!sheet) {
      status.textContent = "This language was not measured in this task.";
      return;
    }
    const choice = () => [task.value, language.value, change.value, search.value].join("\n");
    const wanted = choice();
    const other = own.find(({ code }) => code === REFERENCE);
    const [columns, reference] = await Promise.all([unpack(sheet), other && unpack(other).catch(() => null)])
      .catch((error) => (wanted === choice() ? [missing(error)] : [null]));
    if (!columns || wanted !== choice()) return; // chosen anew in the meantime
    const rows = [...columns.ids.keys()].filter(
      (i) => (change.value === "all" || kind(sheet.arms, columns, i) === change.value) && matches(columns, i),
    );
    list.replaceChildren();
    shown = { rows, all: columns.ids.length, draw: (i) => item(sheet, columns, reference, i), count: 0 };
    extend();
    list.ariaBusy = false;
  };

  [task, language, change, search].forEach((control) => control.addEventListener("input", show));
  more.addEventListener("click", extend);
  show();
})();
