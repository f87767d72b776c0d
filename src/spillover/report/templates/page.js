"use strict";
(() => {
  const NEAR = "600px 0px"; // how far beyond the window a chart is drawn, so that who scrolls finds it there
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
      const { view } = await vegaEmbed(chart, read(chart.id.replace("chart-", "spec-")), {
        actions: false,
        ast: true, // expressions are interpreted, never compiled: the page forbids eval
        config: styles[mode()],
        defaultStyle: false,
        renderer: "svg",
        tooltip: { disableDefaultStyle: true, theme: "page" },
      });
      await Promise.all(controls.map((control) => set(view, control)));
      return view;
    } catch (error) {
      chart.textContent = "This chart could not be drawn. The table below holds its numbers.";
      console.error(error);
      return null;
    }
  };

  const set = (view, { type, value, dataset: { parameter } }) => {
    if (!view || !Object.hasOwn(view.getState().signals, parameter)) return null;
    return view.signal(parameter, type === "range" ? Number(value) : value).runAsync();
  };

  const choose = async (control) => {
    const { value, dataset: { texts } } = control;
    if (texts) control.nextElementSibling.value = JSON.parse(texts)[value];
    (await Promise.all(views.values())).forEach((view) => set(view, control));
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
