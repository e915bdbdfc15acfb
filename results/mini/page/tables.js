// Tables that sort by a column and show the rows and columns asked for.
"use strict";
(() => {
  const section = SGR.element("tables");
  const controls = SGR.element("table-controls");
  if (!controls) return;
  const tables = [...section.querySelectorAll("table.sortable")];

  // Numbers by value, texts by alphabet; a missing number comes last both ways.
  function compare(a, b, way) {
    const [x, y] = [a, b].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
    if (x !== null && y !== null) return way * (x - y);
    if (x !== null || y !== null) return x === null ? 1 : -1;
    return way * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  }

  for (const table of tables) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) =>
      head.firstElementChild.addEventListener("click", () => {
        // Numbers start with the largest; a third press brings the table's own order back.
        const first = head.classList.contains("text") ? "ascending" : "descending";
        const second = first === "ascending" ? "descending" : "ascending";
        const next = { [first]: second, [second]: null }[head.getAttribute("aria-sort")];
        const order = next === undefined ? first : next;
        for (const other of heads) other.removeAttribute("aria-sort");
        if (order) head.setAttribute("aria-sort", order);
        const way = order === "ascending" ? 1 : -1;
        const rows = order ? [...original].sort((a, b) => compare(a.cells[column], b.cells[column], way)) : original;
        body.append(...rows);
      }),
    );
  }

  // Every word must stand in the row.
  function filter() {
    const words = SGR.element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let all = 0;
    for (const row of tables.flatMap((table) => [...table.tBodies[0].rows])) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
      all += 1;
    }
    SGR.element("found").textContent = words.length ? `${shown} of ${all} rows` : "";
  }

  function columns() {
    for (const kind of ["gain", "paper", "count"])
      section.classList.toggle(`no-${kind}`, !SGR.element(`show-${kind}`).checked);
  }

  controls.addEventListener("submit", (event) => event.preventDefault());
  SGR.element("filter").addEventListener("input", filter);
  controls.addEventListener("change", columns);
  filter();
  columns();
})();
