"use strict";
(() => {
  const NEAR = "600px 0px"; // how far beyond the window a chart is drawn, so that who scrolls finds it there
  const LONG = 40; // rows of a table above which it gets a search and scrolls
  const AROUND = 67; // pixels of axes and legend, beside a chart's own height
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const styles = read("styles");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mode = () => (dark.matches ? "dark" : "light");
  const controls = [...document.querySelectorAll("[data-parameter]")];
  const charts = [...document.querySelectorAll(".chart")];
  const views = new Map(); // chart → promise of its view, from when it is first near

  const embed = async (chart) => {
    try {
      const spec = read(chart.id.replace("chart-", "spec-"));
      const { view } = await vegaEmbed(chart, spec.file ? await unpack(spec) : spec, {
        actions: false,
        ast: true, // expressions are interpreted, never compiled: the page forbids eval
        config: styles[mode()],
        defaultStyle: false,
        renderer: "svg",
        tooltip: { disableDefaultStyle: true, theme: "page" },
      });
      await Promise.all(controls.filter((control) => holds(control, chart)).map((control) => set(view, control)));
      return view;
    } catch (error) {
      chart.textContent = "This chart could not be drawn. The table below holds its numbers.";
      console.error(error);
      return null;
    }
  };

  // A button is about the charts of its own figure, any other choice about those of all figures.
  const holds = (control, chart) => control.type !== "button" || control.closest("section") === chart.closest("section");

  const set = (view, { type, value, dataset: { parameter } }) => {
    if (!view || !Object.hasOwn(view.getState().signals, parameter)) return null;
    if (type === "button") {
      const { height, all } = view.container().closest(".chart").dataset;
      view.height(Number(value === "all" ? all : height));
    }
    return view.signal(parameter, type === "range" ? Number(value) : value).runAsync();
  };

  const choose = async (control) => {
    const { value, dataset: { texts } } = control;
    if (texts) control.nextElementSibling.value = JSON.parse(texts)[value];
    const concerned = [...views].filter(([chart]) => holds(control, chart)).map(([, view]) => view);
    (await Promise.all(concerned)).forEach((view) => set(view, control));
  };

  const draw = async (wanted) => {
    wanted.filter((chart) => !views.has(chart)).forEach((chart) => views.set(chart, embed(chart)));
    await Promise.all(wanted.map((chart) => views.get(chart)));
    document.documentElement.dataset.drawn = mode();
  };

  const redraw = async () => {
    const drawn = [...views.keys()];
    (await Promise.all(views.values())).forEach((view) => view?.finalize());
    views.clear();
    await draw(drawn);
  };

  charts.forEach((chart) => { chart.style.minHeight = `${Number(chart.dataset.height) + AROUND}px`; });
  const near = new IntersectionObserver((seen) => {
    const wanted = seen.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => target);
    wanted.forEach((chart) => near.unobserve(chart));
    draw(wanted);
  }, { rootMargin: NEAR });
  charts.forEach((chart) => near.observe(chart));
  if (!charts.length) draw([]);
  addEventListener("beforeprint", () => draw(charts));
  let turning = Promise.resolve();
  dark.addEventListener("change", () => { turning = turning.then(redraw); });
  controls.forEach((control) => control.addEventListener("input", () => choose(control)));

  const label = (button) => {
    const few = button.value === "few";
    button.textContent = few ? button.dataset.all : button.dataset.few;
    button.setAttribute("aria-expanded", String(!few));
  };
  controls.filter(({ type }) => type === "button").forEach((button) => {
    label(button);
    button.hidden = false;
    button.addEventListener("click", () => {
      button.value = button.value === "few" ? "all" : "few";
      label(button);
      choose(button);
    });
  });

  // Long tables scroll in a box of their own, with a search over their rows. Without scripts they are shown whole.
  let searches = 0;
  const lengthen = (root) => root.querySelectorAll(".scroll").forEach((box) => {
    const rows = [...box.querySelectorAll("tbody tr")];
    if (rows.length <= LONG) return;
    searches += 1;
    const [line, name, search, count] = ["p", "label", "input", "output"].map((tag) => document.createElement(tag));
    Object.assign(search, { type: "search", id: `rows-${searches}`, autocomplete: "off", dir: "auto" });
    [name.htmlFor, name.textContent, line.className] = [search.id, "Find rows", "chooser"];
    count.htmlFor.add(search.id);
    search.addEventListener("input", () => {
      const words = search.value.trim().toLowerCase();
      rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(words); });
      count.value = words ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
    line.append(name, search, count);
    box.before(line);
    box.classList.add("long");
  });
  lengthen(document);

  // Long tables in a closed part are text until it is opened: their cells would take seconds of a page of 200 languages.
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", () => {
    const text = part.querySelector("noscript");
    if (!text) return;
    text.insertAdjacentHTML("beforebegin", text.textContent); // the template's own markup, escaped as all of the page
    text.remove();
    lengthen(part);
  }));

  const copy = document.getElementById("copy");
  if (!copy) return; // results of other tools have no experiment file
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const code = document.getElementById("experiment-file");
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected: copy it with your keyboard";
    }
  });
})();
