// The token explorer: an image, its label and prediction, and the tokens of one network that hold the pixel looked at.
"use strict";
(() => {
  if (!SGR.element("token-controls")) return;
  const HOLDS = 0.5; // of a token's largest weight in these images
  const [datasets, images, rows, count] = ["dataset", "image", "row", "count"].map((id) => SGR.element(`token-${id}`));
  const maps = ["image", "token", "label", "prediction"].map((id) => SGR.element(`map-${id}`));
  const [picture] = maps;
  const at = { x: 0.5, y: 0.5 };
  let dataset = null;
  let row = null;
  let image = 0;
  let token = 0;
  let prediction = null;

  const capital = (words) => words[0].toUpperCase() + words.slice(1);
  const named = (one) => (one < dataset.classes.length ? dataset.classes[one] : "ignored");

  // Label and prediction may be smaller than the image: each has its own pixels.
  function value(map) {
    const [x, y] = [Math.floor(at.x * map.width), Math.floor(at.y * map.height)];
    return map.values[Math.min(y, map.height - 1) * map.width + Math.min(x, map.width - 1)];
  }

  function draw() {
    const { pixels, label } = dataset.images[image];
    const { covers } = row.images[image];
    Object.assign(picture, { width: pixels.width, height: pixels.height }).getContext("2d").putImageData(pixels, 0, 0);
    SGR.pixels.heat(maps[1], pixels, row.maps[image][token], covers);
    SGR.pixels.classes(maps[2], label.map, dataset.colours);
    SGR.pixels.classes(maps[3], prediction, dataset.colours);
    for (const canvas of maps) {
      const context = canvas.getContext("2d");
      const [x, y] = [at.x * canvas.width, at.y * canvas.height];
      const arm = Math.max(4, canvas.width / 24);
      for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
        Object.assign(context, { strokeStyle: colour, lineWidth: (width * canvas.width) / 240 });
        context.beginPath();
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          context.moveTo(x + (dx * arm) / 3, y + (dy * arm) / 3);
          context.lineTo(x + dx * arm, y + dy * arm);
        }
        context.stroke();
      }
    }
    SGR.element("token-caption").textContent = `token ${row.tokens[token]}`;
  }

  // Which of the shown tokens hold the pixel, those with the largest share of their peak first.
  function held() {
    const { covers } = row.images[image];
    const found = row.tokens.slice(0, Number(count.value)).map((_, n) => ({
      n,
      weight: SGR.pixels.at(row.maps[image][n], covers, at.x, at.y) / 255,
    }));
    found.sort((a, b) => b.weight - a.weight);
    const lines = found.slice(0, 6).map(({ n, weight }) => {
      const bar = SGR.make("span", { class: "bar", "aria-hidden": "true" }, SGR.make("i", { style: `width:${100 * weight}%` }));
      return SGR.make("tr", weight >= HOLDS ? { class: "holds" } : {},
        SGR.make("th", { scope: "row" }, String(row.tokens[n])),
        SGR.make("td", {}, bar, `${Math.round(100 * weight)} %`),
        SGR.make("td", {}, SGR.tokens.votes(dataset, row, image, n)));
    });
    SGR.element("held").tBodies[0].replaceChildren(...lines);
    const holders = found.filter(({ weight }) => weight >= HOLDS);
    const [height, width] = dataset.images[image].size;
    const place = `Pixel ${Math.floor(at.x * width)}, ${Math.floor(at.y * height)}`;
    const classes = `label ${named(value(dataset.images[image].label.map))}, prediction ${named(value(prediction))}`;
    const first = holders.slice(0, 3).map(({ n }) => `${row.tokens[n]} (${SGR.tokens.votes(dataset, row, image, n, 1)})`);
    const more = holders.length > 3 ? ` and ${holders.length - 3} more` : "";
    const by = first.length ? `Held by ${first.length > 1 ? "tokens" : "token"} ${first.join("; ")}${more}.` : "No token shown holds it.";
    SGR.element("pixel").textContent = `${place}: ${classes}. ${by}`;
  }

  function list() {
    SGR.element("token-count-value").textContent = count.value;
    SGR.tokens.list(SGR.element("token-list"), dataset, row, image, Number(count.value), token, choose);
    held();
  }

  async function choose(n) {
    token = n;
    draw();
    list();
    await SGR.tokens.compare(SGR.element("compared"), dataset, row, token);
  }

  // An image or a network was chosen.
  async function look() {
    image = Number(images.value);
    const wanted = dataset.rows[Number(rows.value)];
    await SGR.tokens.maps(wanted);
    const seen = await SGR.pixels.grey(wanted.images[image].prediction);
    [row, prediction] = [wanted, seen];
    count.max = row.tokens.length;
    token = Math.min(token, row.tokens.length - 1);
    const { semantics, diversity } = row.images[image];
    const told = (number) => (number === null ? "—" : number.toFixed(3));
    SGR.element("measures").textContent =
      `This image, over all tokens of ${row.method}: semantics S ${told(semantics)} (lower is better), diversity D ${told(diversity)} (higher is better).`;
    SGR.element("prediction-caption").textContent = `prediction of ${row.method}`;
    SGR.element("token-list-title").textContent = `The most active tokens (${capital(row.unit)})`;
    picture.setAttribute("aria-label", `${dataset.images[image].name}; the arrow keys move the pixel that is looked at`);
    legend();
    await choose(token);
  }

  function legend() {
    const present = new Set([...dataset.images[image].label.map.values, ...prediction.values]);
    const items = [...present].sort((a, b) => a - b).map((one) => {
      const swatch = SGR.make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = `rgb(${dataset.colours[one] ?? [225, 225, 225]})`;
      return SGR.make("li", {}, swatch, named(one));
    });
    SGR.element("legend").replaceChildren(...items);
  }

  async function open() {
    const next = await SGR.load(`tokens-${datasets.value}`);
    for (const one of next.images) {
      one.pixels ??= await SGR.pixels.read(one.photo);
      one.label.map ??= await SGR.pixels.grey(one.label.url);
    }
    [dataset, token] = [next, 0];
    SGR.options(images, dataset.images.map(({ name }, n) => [n, name]));
    SGR.options(rows, dataset.rows.map(({ method }, n) => [n, method]));
    images.value = "0";
    rows.value = String(Math.max(0, dataset.rows.findIndex(({ unit }) => unit === "SGR")));
    await look();
  }

  function move(x, y) {
    at.x = Math.min(0.9999, Math.max(0, x));
    at.y = Math.min(0.9999, Math.max(0, y));
    draw();
    held();
  }

  for (const canvas of maps)
    for (const kind of ["pointermove", "pointerdown"])
      canvas.addEventListener(kind, (event) => {
        const box = canvas.getBoundingClientRect();
        if (row) move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      });
  picture.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || !row) return;
    event.preventDefault();
    const [height, width] = dataset.images[image].size;
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(width / 36));
    move(at.x + (way[0] * step) / width, at.y + (way[1] * step) / height);
  });
  datasets.addEventListener("change", open);
  for (const control of [images, rows]) control.addEventListener("change", look);
  count.addEventListener("input", () => row && list());
  SGR.element("token-controls").addEventListener("submit", (event) => event.preventDefault());
  open();
})();
