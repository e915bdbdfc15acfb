// The tokens of a network: their maps, the list to choose from, and one of them in every image beside its nearest.
"use strict";
SGR.tokens = {
  // Of a row of the data: the maps of its tokens on each image, decoded once.
  async maps(row) {
    row.maps ??= await Promise.all(
      row.images.map(async ({ regions, cells: [height, width] }) => {
        const { values } = await SGR.pixels.grey(regions);
        const size = height * width;
        return row.tokens.map((_, n) => ({ width, height, values: values.subarray(n * size, (n + 1) * size) }));
      }),
    );
    return row.maps;
  },

  // `car 92 %, road 5 %`: what a token votes for in an image.
  votes(dataset, row, image, token, most = 3) {
    const votes = row.images[image].votes[token].filter(([, share]) => share >= 0.005).slice(0, most);
    return votes.map(([c, share]) => `${dataset.classes[c]} ${Math.round(100 * share)} %`).join(", ") || "no labelled pixel";
  },

  picture(dataset, row, image, token) {
    const canvas = SGR.make("canvas", { role: "img" });
    const votes = SGR.tokens.votes(dataset, row, image, token, 1);
    canvas.setAttribute("aria-label", `Token ${row.tokens[token]} on ${dataset.images[image].name}: ${votes}`);
    SGR.pixels.heat(canvas, dataset.images[image].pixels, row.maps[image][token], row.images[image].covers);
    return canvas;
  },

  // A button a token; `choose` is called with its place in the list.
  list(place, dataset, row, image, count, chosen, choose) {
    const buttons = row.tokens.slice(0, count).map((token, n) => {
      const canvas = SGR.tokens.picture(dataset, row, image, n);
      canvas.setAttribute("aria-hidden", "true");
      canvas.removeAttribute("role");
      canvas.removeAttribute("aria-label");
      const text = `${token} · ${SGR.tokens.votes(dataset, row, image, n, 1)}`;
      const button = SGR.make("button", { type: "button", "aria-pressed": String(n === chosen) }, canvas, text);
      button.addEventListener("click", () => choose(n));
      return button;
    });
    const at = [...place.children].indexOf(document.activeElement);
    place.replaceChildren(...buttons);
    buttons[at]?.focus();
  },

  // The token of `other` whose weights have the largest cosine with a token of `row`, over all images.
  nearest(row, token, other) {
    const seen = (of, n) => of.images.flatMap(({ covers }, image) => SGR.pixels.sampled(of.maps[image][n], covers));
    const wanted = seen(row, token);
    const cosines = other.tokens.map((_, n) => SGR.pixels.cosine(wanted, seen(other, n)));
    const best = cosines.indexOf(Math.max(...cosines));
    return { token: best, cosine: cosines[best] };
  },

  // Which rows a network is compared with: of each kind of tokens the first other one, such as GloRe and the queries.
  rivals(dataset, row) {
    const kinds = new Map([[row.unit, row]]);
    for (const other of dataset.rows) if (!kinds.has(other.unit)) kinds.set(other.unit, other);
    return [...kinds.values()].slice(1);
  },

  // A line a network, a column an image.
  async compare(place, dataset, row, token) {
    const rivals = SGR.tokens.rivals(dataset, row);
    await Promise.all(rivals.map(SGR.tokens.maps));
    const lines = [[row, token, `token ${row.tokens[token]}`]];
    for (const rival of rivals) {
      const { token: near, cosine } = SGR.tokens.nearest(row, token, rival);
      lines.push([rival, near, `nearest: token ${rival.tokens[near]}, cosine ${cosine.toFixed(2)}`]);
    }
    const head = dataset.images.map(({ name }) => SGR.make("th", { scope: "col" }, name));
    const body = lines.map(([of, n, words]) => {
      const title = SGR.make("th", { scope: "row" }, SGR.make("strong", {}, of.method), SGR.make("br"), words);
      const cells = dataset.images.map((_, image) => {
        const votes = SGR.make("figcaption", {}, SGR.tokens.votes(dataset, of, image, n, 1));
        return SGR.make("td", {}, SGR.tokens.picture(dataset, of, image, n), votes);
      });
      return SGR.make("tr", {}, title, ...cells);
    });
    const corner = SGR.make("th", { scope: "col" }, "Network");
    place.replaceChildren(
      SGR.make("table", {}, SGR.make("thead", {}, SGR.make("tr", {}, corner, ...head)), SGR.make("tbody", {}, ...body)),
    );
  },
};
