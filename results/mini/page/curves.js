// Training curves of several rows laid over one another, one loss at a time. Drawn by uPlot.
"use strict";
(() => {
  const data = SGR.data.curves;
  if (!data || !SGR.element("curve-controls")) return;
  const [dataset, term, log, rows] = ["dataset", "term", "log", "rows"].map((id) => SGR.element(`curve-${id}`));
  // Okabe and Ito's colours, told apart by colour-blind readers, lighter on a dark ground; then dashes.
  const COLOURS = {
    light: ["#0072B2", "#C04A00", "#00805D", "#A8508A", "#9A6A00", "#2F86BD", "#5F4690", "#666666"],
    dark: ["#5DB8F0", "#F58A3C", "#2FC79A", "#E39CC6", "#F0B429", "#8FD0F5", "#B39DDB", "#B0B0B0"],
  };
  const DASHES = [[], [8, 4], [2, 3]];
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let chart = null;

  const style = (number) => ({
    stroke: COLOURS[scheme.matches ? "dark" : "light"][number % 8],
    dash: DASHES[Math.floor(number / 8) % DASHES.length],
  });
  const words = (name) => (name === "loss" ? "total" : name.replaceAll("_", " "));
  const chosen = () => data[dataset.value].rows.filter((_, n) => rows.querySelectorAll("input")[n].checked);

  // The mean over seeds at each iteration that all of them have.
  function mean(row) {
    const at = new Map();
    for (const seed of row.seeds)
      seed.iteration.forEach((iteration, n) => {
        const value = seed[term.value][n];
        if (value !== null) at.set(iteration, [...(at.get(iteration) ?? []), value]);
      });
    const whole = [...at].filter(([, values]) => values.length === row.seeds.length).sort((a, b) => a[0] - b[0]);
    return [whole.map(([iteration]) => iteration), whole.map(([, v]) => v.reduce((a, b) => a + b) / v.length)];
  }

  function draw() {
    chart?.destroy();
    const place = SGR.element("chart");
    const shown = chosen().filter((row) => row.terms.includes(term.value));
    const table = SGR.element("chart-table");
    table.replaceChildren();
    const lacking = chosen().length - shown.length;
    const note = [
      term.value === "loss" ? "Totals of different losses are no measure of each other: compare rows of one framework." : "",
      lacking ? `${lacking} of the chosen rows ${lacking > 1 ? "have" : "has"} no such loss.` : "",
      "A row with several seeds is drawn as their mean.",
    ];
    SGR.element("chart-note").textContent = note.filter(Boolean).join(" ");
    const names = shown.map((row) => row.method).join("; ");
    place.setAttribute("aria-label", `${words(term.value)} loss against iteration: ${names || "no row chosen"}`);
    chart = null;
    if (!shown.length) return;
    const joined = uPlot.join(shown.map(mean));
    const css = getComputedStyle(document.documentElement);
    const axis = { stroke: css.getPropertyValue("--quiet"), grid: { stroke: css.getPropertyValue("--line"), width: 1 }, font: "12px system-ui" };
    const number = data[dataset.value].rows;
    chart = new uPlot(
      {
        width: place.clientWidth,
        height: Math.max(260, Math.min(420, place.clientWidth * 0.55)),
        scales: { x: { time: false }, y: { distr: log.checked ? 3 : 1 } },
        legend: { isolate: false },
        axes: [{ ...axis, label: "iteration", labelFont: "12px system-ui" }, { ...axis, size: 56 }],
        series: [
          { label: "iteration" },
          ...shown.map((row) => ({
            label: row.method,
            width: 2,
            ...style(number.indexOf(row)),
            spanGaps: true,
            points: { show: false },
            value: (_, value) => (value == null ? "—" : value.toPrecision(4)),
          })),
        ],
      },
      joined,
      place,
    );
    const head = SGR.make("tr", {}, ...["iteration", ...shown.map((row) => row.method)].map((t) => SGR.make("th", { scope: "col" }, t)));
    const lines = joined[0].map((iteration, n) =>
      SGR.make("tr", {}, SGR.make("th", { scope: "row" }, String(iteration)),
        ...joined.slice(1).map((values) => SGR.make("td", { class: "number" }, values[n] == null ? "—" : values[n].toPrecision(4)))),
    );
    table.append(SGR.make("thead", {}, head), SGR.make("tbody", {}, ...lines));
  }

  function choose() {
    const of = data[dataset.value].rows;
    const legend = rows.querySelector("legend");
    const labels = of.map((row, n) => {
      const box = SGR.make("input", { type: "checkbox" });
      box.checked = n < 4;
      const key = SGR.make("span", { class: "key" });
      const { stroke, dash } = style(n);
      key.style.borderTopColor = stroke;
      key.style.borderTopStyle = dash.length ? (dash[0] > 4 ? "dashed" : "dotted") : "solid";
      return SGR.make("label", {}, box, key, SGR.make("span", {}, row.method));
    });
    rows.replaceChildren(legend, ...labels);
    // The first of these that most rows have: it means the same in each.
    const terms = [...new Set(of.flatMap((row) => row.terms))].filter((name) => name !== "loss");
    SGR.options(term, [...terms, "loss"].map((name) => [name, words(name)]));
    draw();
  }

  SGR.options(dataset, Object.entries(data).map(([name, { title }]) => [name, title]));
  dataset.addEventListener("change", choose);
  for (const control of [term, log, rows]) control.addEventListener("change", draw);
  scheme.addEventListener("change", choose);
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) > 1) draw();
    width = contentRect.width;
  }).observe(SGR.element("chart").parentElement);
  choose();
})();
