// Search over search.js, which is loaded when somebody first wants to search. Texts of the
// pipeline are only ever set as text, never as HTML.
"use strict";
(() => {
  const root = document.documentElement.dataset.root;
  const input = document.getElementById("search");
  const list = document.getElementById("results");
  const status = document.getElementById("found");
  const MOST = 40;
  let loading = null;

  const load = () => loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = root + "search.js";
    script.onload = () => done(window.searchable.map((entry) =>
      ({ ...entry, low: entry.name.toLowerCase(), all: (entry.name + " " + entry.about).toLowerCase() })));
    script.onerror = failed;
    document.head.append(script);
  });

  // Smaller is better: the name itself, its beginning, a part of it, a word about it.
  const rank = (entry, text) =>
    (entry.low === text ? 0 : entry.low.startsWith(text) || entry.low.includes("." + text) ? 1
      : entry.low.includes(text) ? 2 : 3) * 10 + ["asset", "term", "column"].indexOf(entry.kind);

  const show = async () => {
    const text = input.value.trim().toLowerCase();
    const words = text.split(/\s+/).filter(Boolean);
    const entries = words.length ? await load() : [];
    if (text !== input.value.trim().toLowerCase()) return;
    const found = entries.filter((entry) => words.every((word) => entry.all.includes(word)))
      .map((entry) => [rank(entry, text), entry])
      .sort(([a, x], [b, y]) => a - b || x.name.localeCompare(y.name));
    list.replaceChildren(...found.slice(0, MOST).map(([, entry]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      const kind = document.createElement("span");
      const about = document.createElement("span");
      link.href = root + entry.page;
      link.textContent = entry.name;
      kind.textContent = entry.kind;
      kind.className = "kind";
      about.textContent = entry.about;
      about.className = "about";
      item.append(kind, link, about);
      return item;
    }));
    list.hidden = !words.length;
    status.textContent = words.length ? found.length + " found" : "";
  };

  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape") {
      input.value = "";
      show();
    }
  });

  // The lines of the box that is pointed at stand out.
  for (const graph of document.querySelectorAll(".graph")) {
    const lines = [...graph.querySelectorAll("path[data-above]")];
    const mark = (event) => {
      const name = event.target.closest("a")?.dataset.name;
      for (const line of lines) {
        line.classList.toggle("on", name !== undefined
          && (line.dataset.above === name || line.dataset.below === name));
      }
    };
    for (const kind of ["mouseover", "focusin", "mouseleave", "focusout"]) {
      graph.addEventListener(kind, mark);
    }
  }
})();
