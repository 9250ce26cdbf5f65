// Search over search.js, which is loaded at the first search; arrow keys through
// lists and pictures; zoom. Texts of the pipeline are only ever set as text, never as HTML.
"use strict";
(() => {
  const root = document.documentElement.dataset.root;
  const input = document.getElementById("search");
  const list = document.getElementById("results");
  const status = document.getElementById("found");
  const MOST = 40;
  input.parentElement.hidden = false;
  let loading = null;

  const load = () => loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = root + "search.js";
    script.onload = () => {
      const entries = window.searchable.map(({ also = "", about = "", ...entry }) => ({
        ...entry, also, about, low: entry.name.toLowerCase(), alsoLow: also.toLowerCase().split(", "),
        all: `${entry.name} ${also} ${about}`.toLowerCase(),
      }));
      const words = new Set(entries.flatMap((entry) => entry.all.match(/[\p{L}\p{N}]{3,}/gu) ?? []));
      done({ entries, words: [...words] });
    };
    script.onerror = failed;
    document.head.append(script);
  });

  // How many letters are missing, too many, wrong or swapped between a word and the beginning of
  // another; more than `most` is Infinity.
  const distance = (word, other, most) => {
    let before = [], last = [...Array(other.length + 1).keys()];
    for (let i = 1; i <= word.length; i++) {
      const row = [i];
      for (let j = 1; j <= other.length; j++) {
        row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (word[i - 1] !== other[j - 1]));
        if (i > 1 && j > 1 && word[i - 1] === other[j - 2] && word[i - 2] === other[j - 1]) {
          row[j] = Math.min(row[j], before[j - 2] + 1);
        }
      }
      if (Math.min(...row) > most) return Infinity;
      [before, last] = [last, row];
    }
    return Math.min(...last);
  };

  // The words that a word, which is nowhere, is most like.
  const meant = (word, { words }) => {
    const most = word.length < 4 ? 0 : word.length < 8 ? 1 : 2;
    const found = words.map((other) => [distance(word, other, most), other]);
    const best = Math.min(most, ...found.map(([far]) => far));
    return found.filter(([far]) => far === best).map(([, other]) => other)
      .sort((one, other) => one.length - other.length);
  };

  // Smaller is better: the name itself, another word for it, its beginning, a part, a word about it.
  const rank = (entry, text) =>
    (entry.low === text ? 0 : entry.alsoLow.includes(text) ? 1
      : entry.low.startsWith(text) || entry.low.includes("." + text) ? 2
        : entry.low.includes(text) ? 3 : 4) * 10 + ["asset", "term", "column"].indexOf(entry.kind);

  const element = (name, className, text) =>
    Object.assign(document.createElement(name), { className, textContent: text });

  const item = (entry) => {
    const found = document.createElement("li");
    const link = element("a", "", entry.name);
    link.href = root + entry.page;
    const about = entry.also ? `also ${entry.also}. ${entry.about}` : entry.about;
    found.append(element("span", "kind", entry.kind), link, element("span", "about", about));
    return found;
  };

  const show = async () => {
    const text = input.value.trim().toLowerCase();
    const typed = text.split(/\s+/).filter(Boolean);
    const index = typed.length ? await load() : { entries: [], words: [] };
    if (text !== input.value.trim().toLowerCase()) return;
    const words = typed.flatMap((word) =>
      index.entries.some((entry) => entry.all.includes(word)) ? [[word]]
        : word.split(/[^\p{L}\p{N}]+/u).filter(Boolean).map((part) => meant(part, index)));
    const wanted = words.length === 1 ? words[0] : [words.map(([first]) => first).join(" ")];
    const found = index.entries
      .filter((entry) => words.every((any) => any.some((word) => entry.all.includes(word))))
      .map((entry) => [Math.min(...wanted.map((each) => rank(entry, each))), entry])
      .sort(([a, x], [b, y]) => a - b || x.name.localeCompare(y.name));
    const items = found.slice(0, MOST).map(([, entry]) => item(entry));
    if (found.length && wanted.join(" ") !== typed.join(" ")) {
      const shown = words.map(([first]) => first).join(" ");
      items.unshift(element("li", "muted", `Nothing has “${text}”; this is for “${shown}”.`));
    }
    list.replaceChildren(...items);
    list.hidden = !items.length;
    status.textContent = typed.length ? found.length + " found" : "";
  };

  // Up and down in a list of links, from `first` on.
  const step = (event, links, first) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = links.indexOf(document.activeElement);
    if (!way || (at < 0 && document.activeElement !== first)) return;
    const next = links[at + way] ?? (at + way < 0 ? first : null);
    event.preventDefault();
    next?.focus();
  };

  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") list.querySelector("a")?.click();
  });
  input.parentElement.addEventListener("keydown", (event) =>
    step(event, [...list.querySelectorAll("a")], input));
  document.querySelector("main").addEventListener("keydown", (event) =>
    step(event, [...document.querySelectorAll(".list tbody a")]));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape") {
      if (list.contains(document.activeElement)) input.focus();
      input.value = "";
      show();
    }
  });
  document.addEventListener("click", (event) => {
    if (!input.parentElement.contains(event.target)) list.hidden = true;
  });

  const picture = (graph) => {
    const panel = graph.querySelector(".panel");
    const svg = graph.querySelector("svg");
    const lines = [...graph.querySelectorAll("path[data-upstream]")];
    const boxes = [...graph.querySelectorAll("a[data-name]")];
    const named = (name) => boxes.find((box) => box.dataset.name === name);

    // The lines of the box that is pointed at stand out.
    const mark = (event) => {
      const name = event.target.closest("a")?.dataset.name;
      for (const line of lines) {
        line.classList.toggle("on", name !== undefined
          && (line.dataset.upstream === name || line.dataset.downstream === name));
      }
    };
    for (const kind of ["mouseover", "focusin", "mouseleave", "focusout"]) {
      graph.addEventListener(kind, mark);
    }

    // From a box left to what it reads, right to what reads it, up and down to its neighbours.
    const beside = (box, key) => {
      const name = box.dataset.name;
      if (key === "ArrowLeft") return named(lines.find((line) => line.dataset.downstream === name)?.dataset.upstream);
      if (key === "ArrowRight") return named(lines.find((line) => line.dataset.upstream === name)?.dataset.downstream);
      const { x, y } = box.getBBox();
      const down = key === "ArrowDown";
      const column = boxes.filter((other) => other.getBBox().x === x)
        .sort((one, other) => one.getBBox().y - other.getBBox().y);
      return (down ? column : column.reverse())
        .find((other) => (down ? other.getBBox().y > y : other.getBBox().y < y));
    };

    const [width, now] = [svg.viewBox.baseVal.width, () => svg.getBoundingClientRect().width];
    // Zoom so that a place of the panel stays where it is: the middle, if none is said.
    const zoom = (factor, x = panel.clientWidth / 2, y = panel.clientHeight / 2) => {
      const before = now();
      const after = Math.min(3 * width, Math.max(0.1 * width, before * factor));
      const place = [panel.scrollLeft + x, panel.scrollTop + y];
      Object.assign(svg.style, { width: after + "px", minWidth: "0", maxWidth: "none" });
      panel.scrollTo(place[0] * after / before - x, place[1] * after / before - y);
    };
    const whole = () => Object.assign(svg.style, { width: "100%", minWidth: "0", maxWidth: "none" });
    const actions = { "+": () => zoom(1.25), "-": () => zoom(0.8), 0: whole };
    panel.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const { left, top } = panel.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1, event.clientX - left, event.clientY - top);
    }, { passive: false });
    panel.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const box = event.target.closest("a");
      const next = box && event.key.startsWith("Arrow") ? beside(box, event.key) : undefined;
      const action = next ? () => next.focus() : actions[event.key === "=" ? "+" : event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
    const bar = element("div", "zoom", "");
    for (const [key, text, label] of [["-", "−", "Smaller"], ["0", "Fit", "Fit the width"], ["+", "+", "Larger"]]) {
      const button = element("button", "", text);
      button.type = "button";
      button.title = `${label} ( ${key} )`;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", actions[key]);
      bar.append(button);
    }
    graph.prepend(bar);

    const self = graph.querySelector(".self")?.getBoundingClientRect();
    if (self) {
      const { left, top } = panel.getBoundingClientRect();
      panel.scrollTo(self.left - left - panel.clientWidth / 2 + self.width / 2,
        self.top - top - panel.clientHeight / 2);
    }
  };
  document.querySelectorAll(".graph").forEach(picture);
})();
