"use strict";
/* Charts that can be questioned, tables that can be sorted, text that can be copied. */
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 58, right: 14, top: 10, bottom: 46 };
  const REACH = 48; // px from the pointer within which a point is meant
  const MARKER = 3.6; // half the width of a marker, px
  const INSET = 7; // px between the frame and the outermost points, so that no marker is cut
  const EARLY = 0.25; // share of the course that "first quarter" shows

  const node = (name, attributes, parent) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return parent ? parent.appendChild(made) : made;
  };
  const element = (name, properties, parent) => {
    const made = Object.assign(document.createElement(name), properties);
    return parent ? parent.appendChild(made) : made;
  };
  const known = (value) => value !== null;

  /* ---- charts ---- */

  const meanOf = (runs) => {
    const sums = new Map();
    for (const run of runs)
      run.y.forEach((y, i) => {
        if (!known(y)) return;
        const [sum, n] = sums.get(run.x[i]) || [0, 0];
        sums.set(run.x[i], [sum + y, n + 1]);
      });
    const xs = [...sums.keys()].sort((a, b) => a - b);
    return { x: xs, y: xs.map((x) => sums.get(x)[0] / sums.get(x)[1]), n: xs.map((x) => sums.get(x)[1]) };
  };

  const ticksOf = (low, high, most) => {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough * 0.999);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
      ticks.push([k * step, (k * step).toFixed(digits)]);
    return ticks;
  };

  const swatch = (style) => {
    const small = node("svg", { viewBox: "0 0 34 12", class: "swatch", "aria-hidden": "true" });
    node("path", { d: "M1 6H33", stroke: style.colour, "stroke-width": 2, "stroke-dasharray": style.dash }, small);
    node("path", { d: style.marker, fill: style.colour, transform: `translate(17 6) scale(${MARKER})` }, small);
    return small;
  };

  class Chart {
    constructor(figure) {
      const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
      this.labels = { x: data.x_label, y: data.y_label };
      this.series = data.series.map((series) => {
        const runs = series.traces.map(([label, steps, y]) => ({ label, x: data.steps[steps], y }));
        return { ...series, runs, mean: meanOf(runs), on: true };
      });
      this.last = Math.max(...data.steps.map((steps) => Math.max(...steps)));
      this.share = 1;
      this.picked = null;
      this.build(figure);
      new ResizeObserver(() => this.draw()).observe(this.plot);
      this.draw();
    }

    build(figure) {
      figure.querySelector(".static").remove();
      const controls = element("div", { className: "controls" });
      this.plot = element("div", { className: "plot", tabIndex: 0 });
      this.plot.setAttribute("role", "group");
      this.plot.setAttribute("aria-label",
        `Chart of ${this.labels.y} against ${this.labels.x}. Left and right arrows go along a run, up and down to another.`);
      figure.prepend(controls, this.plot);
      this.canvas = node("svg", { "aria-hidden": "true" }, this.plot);
      this.tip = element("div", { className: "tip", hidden: true }, this.plot);
      this.tip.setAttribute("role", "status");
      this.addLegend(controls);
      this.addZoom(controls);
      this.canvas.addEventListener("pointermove", (event) => this.point(event));
      this.canvas.addEventListener("pointerdown", (event) => this.point(event));
      this.plot.addEventListener("pointerleave", () => this.pick(null));
      this.plot.addEventListener("blur", () => this.pick(null));
      this.plot.addEventListener("keydown", (event) => this.key(event));
    }

    addLegend(controls) {
      const legend = element("div", { className: "legend" }, controls);
      legend.setAttribute("role", "group");
      legend.setAttribute("aria-label", "Show or hide");
      for (const series of this.series) {
        const button = element("button", { type: "button" }, legend);
        button.append(swatch(series), `${series.name} (n = ${series.runs.length})`);
        button.setAttribute("aria-pressed", "true");
        button.addEventListener("click", () => {
          series.on = !series.on;
          button.setAttribute("aria-pressed", String(series.on));
          this.draw();
        });
      }
    }

    addZoom(controls) {
      const early = this.series.some((series) => series.mean.x.filter((x) => x <= this.last * EARLY).length > 1);
      if (!early) return;
      const zoom = element("div", { className: "zoom" }, controls);
      zoom.setAttribute("role", "group");
      zoom.setAttribute("aria-label", "Part of the course");
      const choices = [["whole course", 1], ["first quarter", EARLY]].map(([text, share]) => {
        const button = element("button", { type: "button", textContent: text }, zoom);
        button.addEventListener("click", () => {
          this.share = share;
          mark();
          this.draw();
        });
        return [button, share];
      });
      const mark = () =>
        choices.forEach(([button, share]) => button.setAttribute("aria-pressed", String(share === this.share)));
      mark();
    }

    /* Axes span every series, so that they stand still when one is switched off. */
    scale() {
      const width = Math.max(this.plot.clientWidth, 240);
      const height = Math.round(Math.min(440, Math.max(270, width * 0.46)));
      const points = this.series.flatMap((series) => series.runs.flatMap((run) => run.x.map((x, i) => [x, run.y[i]])));
      const end = this.last * this.share;
      let [left, low, high] = [Infinity, Infinity, -Infinity];
      for (const [x, y] of points) {
        if (x > end || !known(y)) continue;
        [left, low, high] = [Math.min(left, x), Math.min(low, y), Math.max(high, y)];
      }
      if (!(high >= low)) [left, low, high] = [0, 0, 1];
      const pad = (high - low) * 0.05 || 0.05;
      const box = { x: [left, end > left ? end : left + 1], y: [low - pad, high + pad] };
      const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
      const along = (value, [from, to], length) => ((value - from) / (to - from)) * length;
      return {
        width, height, box, inner,
        x: (value) => INSET + along(value, box.x, inner.width - 2 * INSET),
        y: (value) => inner.height - along(value, box.y, inner.height),
      };
    }

    path(line) {
      let d = "", pen = "M";
      line.x.forEach((x, i) => {
        if (!known(line.y[i])) { pen = "M"; return; }
        d += `${pen}${this.at.x(x).toFixed(1)} ${this.at.y(line.y[i]).toFixed(1)}`;
        pen = "L";
      });
      return d;
    }

    draw() {
      this.at = this.scale();
      const { width, height, inner } = this.at;
      this.canvas.replaceChildren();
      this.canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.canvas.setAttribute("height", height);
      this.axes();
      const { left: x, top: y } = MARGIN;
      const area = node("svg", { x, y, width: inner.width, height: inner.height, class: "area" }, this.canvas);
      const shown = this.series.filter((series) => series.on);
      shown.forEach((series) => this.drawRuns(series, area));
      shown.forEach((series) => this.drawMean(series, area));
      this.mark = node("g", { class: "mark" }, area);
      this.pick(null);
    }

    axes() {
      const { width, height, box, inner, x, y } = this.at;
      const base = MARGIN.top + inner.height;
      const text = (content, attributes) => (node("text", attributes, this.canvas).textContent = content);
      for (const [value, label] of ticksOf(...box.y, Math.max(3, inner.height / 50))) {
        const at = MARGIN.top + y(value);
        node("path", { d: `M${MARGIN.left} ${at}H${width - MARGIN.right}`, class: "grid" }, this.canvas);
        text(label, { x: MARGIN.left - 8, y: at + 4, "text-anchor": "end" });
      }
      for (const [value, label] of ticksOf(...box.x, Math.max(2, inner.width / 90))) {
        const at = MARGIN.left + x(value);
        node("path", { d: `M${at} ${base}v5`, class: "axis" }, this.canvas);
        text(label, { x: at, y: base + 20, "text-anchor": "middle" });
      }
      node("path", { d: `M${MARGIN.left} ${MARGIN.top}V${base}H${width - MARGIN.right}`, class: "axis" }, this.canvas);
      text(this.labels.x, { x: MARGIN.left + inner.width / 2, y: height - 6, "text-anchor": "middle", class: "label" });
      const middle = MARGIN.top + inner.height / 2;
      const turned = { x: 14, y: middle, transform: `rotate(-90 14 ${middle})`, "text-anchor": "middle", class: "label" };
      text(this.labels.y, turned);
    }

    /* One path for all runs of a series keeps hundreds of runs quick. */
    drawRuns(series, area) {
      const opacity = Math.max(0.1, Math.min(0.45, 4 / series.runs.length));
      const d = series.runs.map((run) => this.path(run)).join("");
      node("path", { d, class: "runs", stroke: series.colour, "stroke-opacity": opacity }, area).dataset.series = series.name;
    }

    drawMean(series, area) {
      const group = node("g", { class: "mean" }, area);
      group.dataset.series = series.name;
      node("path", { d: this.path(series.mean), stroke: series.colour, "stroke-dasharray": series.dash }, group);
      series.mean.x.forEach((x, i) => {
        const place = `translate(${this.at.x(x)} ${this.at.y(series.mean.y[i])}) scale(${MARKER})`;
        node("path", { d: series.marker, fill: series.colour, transform: place }, group);
      });
    }

    point(event) {
      const corner = this.canvas.getBoundingClientRect();
      const [px, py] = [event.clientX - corner.left - MARGIN.left, event.clientY - corner.top - MARGIN.top];
      let best = null, nearest = REACH ** 2;
      for (const series of this.series) {
        if (!series.on) continue;
        for (const run of series.runs)
          for (let i = 0; i < run.x.length; i++) {
            if (!known(run.y[i]) || run.x[i] > this.at.box.x[1]) continue;
            const distance = (this.at.x(run.x[i]) - px) ** 2 + (this.at.y(run.y[i]) - py) ** 2;
            if (distance < nearest) [best, nearest] = [{ series, run, i }, distance];
          }
      }
      this.pick(best);
    }

    key(event) {
      const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
      if (event.key === "Escape") this.pick(null);
      if (!(event.key in moves)) return;
      event.preventDefault();
      this.pick(this.moved(...moves[event.key]));
    }

    moved(along, across) {
      const lines = this.series.filter((series) => series.on)
        .flatMap((series) => series.runs.map((run) => ({ series, run })))
        .filter(({ run }) => run.y.some((y, i) => known(y) && run.x[i] <= this.at.box.x[1]));
      if (!lines.length) return null;
      const now = this.picked;
      const from = now ? lines.findIndex(({ run }) => run === now.run) : 0;
      const line = lines[(from + across + lines.length) % lines.length];
      const seen = line.run.x.map((x, i) => i).filter((i) => known(line.run.y[i]) && line.run.x[i] <= this.at.box.x[1]);
      const place = now ? Math.max(0, seen.findIndex((i) => line.run.x[i] >= now.run.x[now.i])) + along : 0;
      return { ...line, i: seen[Math.min(seen.length - 1, Math.max(0, place))] };
    }

    pick(found) {
      this.picked = found;
      this.mark.replaceChildren();
      this.tip.hidden = !found;
      if (!found) return;
      const { series, run, i } = found;
      const [x, y] = [this.at.x(run.x[i]), this.at.y(run.y[i])];
      node("path", { d: this.path(run), stroke: series.colour }, this.mark);
      node("circle", { cx: x, cy: y, r: 5, fill: series.colour }, this.mark);
      const mean = series.mean.x.indexOf(run.x[i]);
      const lines = [series.name, run.label, `${this.labels.x}: ${run.x[i]}`, `${this.labels.y}: ${run.y[i].toFixed(4)}`,
        `mean of n = ${series.mean.n[mean]}: ${series.mean.y[mean].toFixed(4)}`];
      this.tip.replaceChildren(...lines.map((text) => element("div", { textContent: text })));
      this.place(x + MARGIN.left, y + MARGIN.top);
    }

    place(x, y) {
      const [width, height] = [this.tip.offsetWidth, this.tip.offsetHeight];
      const left = x + 14 + width > this.at.width ? x - width - 14 : x + 14;
      this.tip.style.left = `${Math.max(0, Math.min(left, this.at.width - width))}px`;
      this.tip.style.top = `${Math.max(0, Math.min(y - height / 2, this.at.height - height))}px`;
    }
  }

  /* ---- tables ---- */

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  /* null is unknown: last in either direction. */
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.number === undefined) return cell.dataset.key ?? cell.textContent;
    return cell.dataset.number === "" ? null : Number(cell.dataset.number);
  };

  const sort = (table, column, sign) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    const unknown = rows.filter(([key]) => !known(key));
    const sorted = rows.filter(([key]) => known(key)).sort(([a], [b]) => sign * compare(a, b));
    body.append(...[...sorted, ...unknown].map(([, row]) => row));
  };

  const makeSortable = (table) => {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = element("button", { type: "button", textContent: heading.textContent.trim() });
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, column, up ? 1 : -1);
      });
    });
  };

  /* ---- page ---- */

  document.querySelectorAll("figure.chart").forEach((figure) => new Chart(figure));
  document.querySelectorAll("table.sortable").forEach(makeSortable);

  for (const button of document.querySelectorAll(".copy")) {
    const text = button.previousElementSibling;
    button.hidden = false;
    button.addEventListener("click", () => {
      const range = document.createRange();
      range.selectNodeContents(text);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C"; // works from a file, too
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }

  /* A link to a folded section opens it. */
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
