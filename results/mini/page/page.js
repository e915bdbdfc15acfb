// What the scripts of the page share. Data come as scripts that fill SGR.data, since a page on a disk may not fetch.
"use strict";
const SGR = {
  data: {},

  element: (id) => document.getElementById(id),

  // An element with attributes and children, which are elements or texts.
  make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  },

  // Fills a select with [value, text] pairs, keeping what was chosen where it is still there.
  options(select, pairs) {
    const chosen = select.value;
    select.replaceChildren(...pairs.map(([value, text]) => SGR.make("option", { value }, text)));
    if (pairs.some(([value]) => String(value) === chosen)) select.value = chosen;
  },

  // The data of that name, from page/data/<name>.js.
  load(name) {
    if (SGR.data[name]) return Promise.resolve(SGR.data[name]);
    return new Promise((resolve, reject) => {
      const script = SGR.make("script", { src: `page/data/${name}.js` });
      script.onload = () => resolve(SGR.data[name]);
      script.onerror = () => reject(new Error(`page/data/${name}.js is missing`));
      document.head.append(script);
    });
  },
};
