// Sums up the numbers of the page for the dates and values that are chosen, as figures.py does for all.
"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  if (page.last < 0) return;
  const DAY = 86_400_000;
  const STEPS = { day: 1, week: 7, month: 31 };
  const RANGES = ["7", "30", "90", "month", "all", "own"];
  const find = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const text = (element, words) => { element.textContent = words; };

  // Days are numbers, counted from the first day of the data.
  const time = (day) => (page.first + day) * DAY;
  const iso = (day) => new Date(time(day)).toISOString().slice(0, 10);
  const parsed = (words) => Math.round(Date.parse(`${words}T00:00Z`) / DAY) - page.first;
  const named = (day, format) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...format }).format(time(day));
  const words = (day) => named(day, { day: "numeric", month: "short", year: "numeric" });

  const decimals = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const cents = decimals(2), whole = decimals(0), tenths = decimals(1);
  const FORMATS = {
    amount: (value) => cents.format(value + Math.sign(value) * 1e-9), // half a cent is rounded up
    number: (value) => cents.format(value),
    count: (value) => whole.format(value),
    share: (value) => `${tenths.format(value * 100)}%`,
  };
  const written = (value, format) => (value === null ? "-" : FORMATS[format](value));
  const short = (value, format) => {
    const size = Math.abs(value ?? 0);
    if (format === "share" || size < 1e6) return written(value, format);
    return size < 1e9 ? `${cents.format(value / 1e6)} M` : `${cents.format(value / 1e9)} B`;
  };

  for (const [number, cube] of page.cubes.entries()) {
    cube.number = number;
    cube.rows = Int32Array.from({ length: cube.size }, (_, row) => row);
    cube.ones = new Uint8Array(cube.size).fill(1);
    for (const dimension of Object.values(cube.dimensions)) dimension.codes = Int32Array.from(dimension.codes);
    for (const sum of Object.values(cube.sums)) sum.values = Float64Array.from(sum.values);
  }

  // --- What is chosen: in the controls, in the address, and here.
  const state = { range: "30", from: 0, to: page.last, filters: {} };
  for (const name of Object.keys(page.filters)) state.filters[name] = "";

  function read() {
    if (location.hash.length > 1 && !location.hash.includes("=")) return; // a place on the page
    const asked = new URLSearchParams(location.hash.slice(1));
    state.range = RANGES.includes(asked.get("range")) ? asked.get("range") : "30";
    const day = (name, otherwise) => {
      const found = parsed(asked.get(name) ?? "");
      return Number.isNaN(found) ? otherwise : Math.min(Math.max(found, 0), page.last);
    };
    const days = [day("from", 0), day("to", page.last)].sort((a, b) => a - b);
    [state.from, state.to] = days;
    for (const [name, values] of Object.entries(page.filters)) {
      state.filters[name] = values.includes(asked.get(name)) ? asked.get(name) : "";
    }
  }

  function address() {
    const said = new URLSearchParams({ range: state.range });
    if (state.range === "own") { said.set("from", iso(state.from)); said.set("to", iso(state.to)); }
    for (const [name, value] of Object.entries(state.filters)) if (value) said.set(name, value);
    return `#${said}`;
  }

  function monthOf(day, months = 0) {
    const date = new Date(time(day));
    return Math.round(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months) / DAY) - page.first;
  }

  /** The days that are chosen, both included, and as many before them; null where the data begin later. */
  function periods() {
    const { range } = state;
    let now = [0, page.last], before = null;
    if (range === "own") now = [state.from, state.to];
    if (range === "month") now = [monthOf(page.last), page.last];
    if (Number(range)) now = [page.last - Number(range) + 1, page.last];
    if (range === "month") {
      const start = monthOf(page.last, -1);
      before = [start, Math.min(start + page.last - now[0], now[0] - 1)];
    } else if (range !== "all") {
      before = [2 * now[0] - now[1] - 1, now[0] - 1];
    }
    return { now: [Math.max(now[0], 0), now[1]], before: before && before[0] >= 0 ? before : null };
  }

  // --- Sums.

  /** The first cube with every dimension that is needed: shown, or filtered by if any cube can be. */
  function cubeFor(item) {
    const cubes = item.cubes.map((number) => page.cubes[number]);
    const has = (cube, name) => name in cube.dimensions;
    const filtered = Object.keys(state.filters).filter((name) => state.filters[name]);
    const needed = [...(item.by ?? []), ...filtered.filter((name) => cubes.some((cube) => has(cube, name)))];
    return cubes.find((cube) => needed.every((name) => has(cube, name))) ?? cubes[0];
  }

  let known = new Map(); // what one update has worked out

  function once(key, work) {
    if (!known.has(key)) known.set(key, work());
    return known.get(key);
  }

  /** Those rows whose codes are good. */
  function keep(rows, codes, good) {
    const found = new Int32Array(rows.length);
    let count = 0;
    for (let place = 0; place < rows.length; place++) {
      found[count] = rows[place];
      count += good[codes[rows[place]]];
    }
    return found.subarray(0, count);
  }

  /** The rows of a cube that are chosen, of the days given and where dimensions have these values. */
  function select(cube, [from, to], where) {
    return once(`rows ${cube.number} ${from} ${to} ${JSON.stringify(where)}`, () => {
      let rows = cube.rows, tests = where;
      if (Object.keys(where).length) {
        rows = select(cube, [from, to], {});
      } else {
        const chosen = Object.entries(state.filters).filter(([name, value]) => value && name in cube.dimensions);
        tests = Object.fromEntries(chosen.map(([name, value]) => [name, [value]]));
        const days = new Uint8Array(page.last + 1).fill(1, from, to + 1);
        const isPart = from > 0 || to < page.last;
        if (isPart && "day" in cube.dimensions) rows = keep(rows, cube.dimensions.day.codes, days);
      }
      for (const [name, values] of Object.entries(tests)) {
        const { values: names, codes } = cube.dimensions[name];
        rows = keep(rows, codes, Uint8Array.from(names, (value) => values.includes(value)));
      }
      return rows;
    });
  }

  /** The groups of a cube by dimensions: the number of each row's group, and the codes of each group. */
  function groupsOf(cube, by) {
    cube.groups ??= new Map();
    if (!cube.groups.has(`${by}`)) {
      const dimensions = by.map((name) => cube.dimensions[name]);
      const sizes = dimensions.map(({ values }) => values?.length ?? page.last + 1);
      const numbers = new Map(), keys = [], codes = new Int32Array(cube.size);
      for (let row = 0; row < cube.size; row++) {
        let key = 0;
        for (let each = 0; each < dimensions.length; each++) key = key * sizes[each] + dimensions[each].codes[row];
        if (!numbers.has(key)) numbers.set(key, keys.push(dimensions.map((each) => each.codes[row])) - 1);
        codes[row] = numbers.get(key);
      }
      cube.groups.set(`${by}`, { codes, keys });
    }
    return cube.groups.get(`${by}`);
  }

  /** A column summed up for each group; without a column the number of rows. */
  function sums(cube, period, by, column, where) {
    return once(`sums ${cube.number} ${period} ${by} ${column} ${JSON.stringify(where)}`, () => {
      const { codes, keys } = groupsOf(cube, by);
      const found = new Float64Array(keys.length);
      const values = column ? cube.sums[column].values : cube.ones;
      const rows = select(cube, period, where);
      for (let place = 0; place < rows.length; place++) found[codes[rows[place]]] += values[rows[place]];
      return found;
    });
  }

  /** A function that says what the measures are of some groups together. */
  function measured(cube, period, by, measures) {
    const added = (column, where) => {
      const each = sums(cube, period, by, column, where), { scale } = cube.sums[column];
      return (groups) => groups.reduce((total, group) => total + each[group], 0) / scale;
    };
    const each = measures.map(({ sum, per, where }) => {
      const top = added(sum, where), below = per && added(per, where);
      return (groups) => (per ? (below(groups) ? top(groups) / below(groups) : null) : top(groups));
    });
    return (groups) => each.map((measure) => measure(groups));
  }

  /** The groups with anything in them. */
  function present(cube, period, by) {
    const counts = sums(cube, period, by, "", {});
    return [...counts.keys()].filter((group) => counts[group]);
  }

  function total(tile, period) {
    const cube = cubeFor(tile);
    const by = "day" in cube.dimensions ? ["day"] : [];
    return cube.size ? measured(cube, period, by, [tile.measure])(present(cube, period, by))[0] : null;
  }

  function startOf(day, step) {
    if (step === "month") return monthOf(day);
    return step === "week" ? day - ((new Date(time(day)).getUTCDay() + 6) % 7) : day;
  }

  function stepFor([from, to], least) {
    const span = to - from + 1;
    const fits = span <= 92 ? "day" : span <= 731 ? "week" : "month";
    const most = Math.min(span / 2, STEPS[least]);
    const wanted = Object.keys(STEPS).filter((step) => STEPS[step] <= most).at(-1) ?? "day";
    return STEPS[fits] > STEPS[wanted] ? fits : wanted;
  }

  const sortable = (name) => (/^\d*\.?\d+$/.test(name) ? Number(name) : Infinity);
  const byName = (a, b) => {
    const [x, y] = [sortable(a), sortable(b)];
    return x === y ? (a < b ? -1 : a > b ? 1 : 0) : x - y;
  };

  /** The rows of a figure: names, times, measures. */
  function linesOf({ by, measures, limit, ...item }, period, step) {
    const cube = cubeFor({ by, ...item });
    if (!cube.size) return [];
    const { keys } = groupsOf(cube, by);
    const groups = present(cube, period, by);
    const valuesOf = measured(cube, period, by, measures);
    if (by[0] === "day") return overTime(cube, by, valuesOf, groups, period, step);
    const lines = groups.map((group) => ({
      names: by.map((name, place) => cube.dimensions[name].values[keys[group][place]]),
      values: valuesOf([group]),
    }));
    if (limit) return lines.sort((a, b) => b.values[0] - a.values[0]).slice(0, limit);
    return lines.sort((a, b) => a.names.map((name, n) => byName(name, b.names[n])).find((order) => order) ?? 0);
  }

  function overTime(cube, by, valuesOf, groups, [from, to], step) {
    const { keys } = groupsOf(cube, by);
    const series = by[1] ? cube.dimensions[by[1]].values : [""];
    const inside = new Map(); // the groups of each start and series
    for (const group of groups) {
      const [day, code = 0] = keys[group];
      const key = `${startOf(day, step)} ${code}`;
      if (!inside.has(key)) inside.set(key, []);
      inside.get(key).push(group);
    }
    const used = new Set(groups.map((group) => keys[group][1] ?? 0));
    const shown = [...series.keys()].filter((code) => used.has(code) || !by[1]);
    shown.sort((a, b) => byName(series[a], series[b]));
    const lines = [];
    for (let start = startOf(from, step); start <= to; start = startOf(start + STEPS[step], step)) {
      const end = startOf(start + STEPS[step], step);
      const cut = (start < from && from > 0) || (end - 1 > to && to < page.last);
      const note = time(end) > page.asOf ? "not over" : cut ? "in part" : null;
      const when = step === "month" ? iso(start).slice(0, 7) : iso(start);
      for (const code of shown) {
        const values = valuesOf(inside.get(`${start} ${code}`) ?? []);
        lines.push({ names: by[1] ? [when, series[code]] : [when], start, end, note, values });
      }
    }
    return lines;
  }

  /** What is drawn: of lines only what is whole, as the last week would look like a fall. */
  const isDrawn = (figure, step, line) => figure.kind !== "lines" || step === "day" || !line.note;

  const drawn = (figure, lines) => lines.map(({ names, start, end, note, values }) => {
    const [{ format, title }] = figure.measures;
    return {
      at: start === undefined ? names[0] : time(start),
      end: end === undefined ? null : time(end),
      series: names[1] ?? title,
      value: values[0],
      behind: figure.behind ? values[1] : null,
      label: short(values[0], format),
      tip: `${names.join(", ")}: ${written(values[0], format)}${note ? ` (${note})` : ""}`,
      note: note ?? null,
    };
  });

  // --- What is shown.
  const figures = all("figure[data-figure]").map((element) => {
    const figure = page.figures[Number(element.dataset.figure)];
    return { figure, element, view: null, lines: [] };
  });
  const tiles = all("[data-tile]").map((element) => [page.tiles[Number(element.dataset.tile)], element]);

  function showTile([tile, element], { now, before }) {
    const { format } = tile.measure;
    const value = total(tile, now);
    text(find(".value", element), short(value, format));
    find(".value", element).title = written(value, format);
    const cube = cubeFor(tile);
    const change = find(".change", element);
    const dated = "day" in cube.dimensions;
    const earlier = dated && before ? total(tile, before) : null;
    text(change, earlier && value !== null ? changed(value, earlier, format) : dated && state.range !== "all" ? "nothing to compare with" : "");
    find(".spark", element).replaceChildren(...(dated ? [spark(tile, now)] : []));
  }

  function changed(value, earlier, format) {
    const part = (value - earlier) / Math.abs(earlier), size = Math.abs(earlier);
    const rounded = format === "amount" && size >= 1000 && size < 1e6 ? whole.format(earlier) : short(earlier, format);
    const sign = part > 0.0005 ? "▲ +" : part < -0.0005 ? "▼ −" : "";
    return `${sign}${tenths.format(Math.abs(part) * 100)}% from ${rounded}`;
  }

  function spark(tile, period) {
    const lines = linesOf({ ...tile, by: ["day"], measures: [tile.measure], limit: 0 }, period, stepFor(period, "day"));
    const values = lines.map((line) => line.values[0] ?? 0);
    const most = Math.max(...values, 0), least = Math.min(...values, 0);
    const points = values.map((value, number) => {
      const x = values.length > 1 ? (100 * number) / (values.length - 1) : 50;
      return `${x.toFixed(1)},${(23 - (22 * (value - least)) / (most - least || 1)).toFixed(1)}`;
    });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 100 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(svg.namespaceURI, "polyline");
    line.setAttribute("points", points.join(" "));
    svg.append(line);
    return svg;
  }

  async function showFigure(shown, { now }) {
    const { figure, element } = shown;
    const step = stepFor(now, figure.step);
    shown.lines = linesOf(figure, now, step);
    shown.title = figure.title.replace("{step}", step);
    const rows = drawn(figure, shown.lines.filter((line) => isDrawn(figure, step, line)));
    const marks = figure.marks.filter(({ at }) => at >= time(now[0]) && at < time(now[1] + 1));
    text(find("h3", element), shown.title);
    const picture = find(".picture", element);
    const isEmpty = !rows.some((row) => row.value);
    find(".empty", element).hidden = !isEmpty;
    const wasHidden = picture.hidden && !isEmpty;
    picture.hidden = isEmpty;
    picture.setAttribute("aria-label", shown.title);
    if (find("details", element).open) showTable(shown);
    else find("tbody", element).replaceChildren(); // never for a moment the numbers of another choice
    const what = JSON.stringify([isEmpty, rows, marks]);
    if (what === shown.what) return; // it is drawn already
    shown.what = what;
    if (isEmpty) return;
    const [least, most] = page.tall[figure.kind] ?? [0, 0];
    const names = new Set(rows.map(({ at }) => at)).size;
    const height = names * Math.min(most, Math.max(least, Math.floor(220 / names)));
    if (shown.view) {
      if (wasHidden) dispatchEvent(new Event("resize")); // its width is measured anew
      if (height) shown.view.height(height);
      shown.view.data("rows", rows);
      if (figure.by[0] === "day") shown.view.data("marks", marks);
      await shown.view.runAsync();
      return;
    }
    picture.setAttribute("role", "img");
    const chart = { ...page.charts[figure.kind], datasets: { rows, marks } };
    if (height) chart.height = height;
    const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, logLevel: 1 };
    const target = document.createElement("div");
    target.setAttribute("aria-hidden", "true"); // the picture around it has a name
    picture.replaceChildren(target);
    shown.view = (await window.vegaEmbed(target, chart, options)).view;
  }

  function showTable({ figure, element, lines }) {
    const cells = lines.map(({ names, values }) => {
      const row = document.createElement("tr");
      const cell = (words, isNumber) => {
        const td = document.createElement("td");
        if (isNumber) td.className = "number";
        text(td, words);
        row.append(td);
      };
      names.forEach((name) => cell(name, false));
      values.forEach((value, number) => cell(written(value, figure.measures[number].format), true));
      return row;
    });
    find("tbody", element).replaceChildren(...cells);
  }

  /** The table as a file. A text that a spreadsheet would take for a formula begins with '. */
  function csv({ figure, lines }) {
    const quoted = (words) => {
      const safe = /^[=+\-@\t\r]/.test(words) ? `'${words}` : words;
      return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const digits = { amount: 2, count: 0, number: 4, share: 4 };
    const rows = lines.map(({ names, values }) => [
      ...names.map(quoted),
      ...values.map((value, number) => (value === null ? "" : value.toFixed(digits[figure.measures[number].format]))),
    ]);
    return [figure.headings.map(quoted), ...rows].map((row) => `${row.join(",")}\r\n`).join("");
  }

  function save(shown) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(shown)], { type: "text/csv" }));
    link.download = `${shown.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function showControls({ now, before }) {
    for (const input of all("[name=range]")) input.checked = input.value === state.range;
    find("#own").hidden = state.range !== "own";
    const [from, to] = [find("#from"), find("#to")];
    [from.value, to.value] = now.map(iso);
    for (const input of [from, to]) [input.min, input.max] = [iso(0), iso(page.last)];
    for (const select of all("select[data-filter]")) select.value = state.filters[select.dataset.filter];
    const over = time(page.last + 1) > page.asOf ? ` ${words(page.last)} is not over.` : "";
    const compared = before ? `, compared with ${words(before[0])} to ${words(before[1])}` : "";
    text(find("#covers"), `${words(now[0])} to ${words(now[1])}${compared}.${over}`);
    find("#reset").hidden = address() === "#range=30";
  }

  let updates = Promise.resolve();

  function update() {
    performance.mark("chosen");
    known = new Map();
    const chosen = periods();
    showControls(chosen);
    tiles.forEach((tile) => showTile(tile, chosen));
    const drawing = Promise.all(figures.map((shown) => showFigure(shown, chosen)));
    performance.measure("summed", "chosen");
    updates = Promise.all([updates, drawing]).then(() => {
      performance.measure("update", "chosen");
      document.body.dataset.shows = address();
    });
  }

  function choose() {
    history.replaceState(null, "", address());
    update();
  }

  for (const input of all("[name=range]")) {
    input.addEventListener("change", () => {
      const { now } = periods();
      state.range = input.value;
      if (input.value === "own") [state.from, state.to] = now;
      choose();
    });
  }
  for (const select of all("select[data-filter]")) {
    const { filter } = select.dataset;
    select.append(...page.filters[filter].map((value) => new Option(value, value)));
    select.addEventListener("change", () => { state.filters[filter] = select.value; choose(); });
  }
  for (const input of [find("#from"), find("#to")]) {
    input.addEventListener("change", () => {
      const days = [find("#from"), find("#to")].map((each) => parsed(each.value));
      if (days.some(Number.isNaN)) return;
      [state.from, state.to] = days.map((day) => Math.min(Math.max(day, 0), page.last)).sort((a, b) => a - b);
      choose();
    });
  }
  find("#reset").addEventListener("click", () => { location.hash = "#range=30"; });
  for (const shown of figures) {
    find("details", shown.element).addEventListener("toggle", () => showTable(shown));
    find("button", shown.element).addEventListener("click", () => save(shown));
  }
  addEventListener("hashchange", () => { read(); update(); });
  for (const element of all(".live")) element.hidden = false;
  for (const element of all(".still")) element.hidden = true;
  read();
  update();
})();
