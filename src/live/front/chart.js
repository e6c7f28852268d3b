// Time lines that share their time: one canvas each, drawn from the windows.
const LEFT = 58, RIGHT = 12, TOP = 20, BOTTOM = 20;
const zoom = { from: null, until: null };
const span = () => {
  const from = zoom.from === null ? startOf() : zoom.from, until = zoom.until === null ? endOf() : zoom.until;
  return until > from ? [from, until] : [from, from + 1];
};

// Round numbers between two.
function ticks(least, most, about) {
  const raw = (most - least) / about || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((by) => by * power).find((step) => step >= raw) || raw;
  const found = [];
  for (let tick = Math.ceil(least / step - 1e-9) * step; tick <= most + step * 1e-6; tick += step) found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return found;
}

class Chart {
  // series: {name, colour, dash, step, value(window), format}
  constructor(title, series, options) {
    this.title = title;
    this.series = series;
    this.options = options;
    this.keys = el("span", {});
    this.canvas = el("canvas", { tabindex: "0", role: "slider", "aria-label": title + ", by time", "aria-valuemin": "0" });
    this.root = el("div", { class: "chart" }, el("div", { class: "top" }, el("b", {}, title), this.keys), this.canvas);
    this.drag = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.drag = { from: event.offsetX, to: event.offsetX };
      if (event.pointerType === "mouse") this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.drag) { this.drag.to = event.offsetX; this.draw(); }
      this.options.hover(this.timeAt(event.offsetX), event);
    });
    this.canvas.addEventListener("pointerleave", () => this.options.hover(null));
    this.canvas.addEventListener("pointercancel", () => { this.drag = null; this.draw(); });
    this.canvas.addEventListener("pointerup", (event) => {
      const drag = this.drag;
      this.drag = null;
      if (!drag) return;
      const [a, b] = [this.timeAt(Math.min(drag.from, event.offsetX)), this.timeAt(Math.max(drag.from, event.offsetX))];
      if (event.pointerType === "mouse" && Math.abs(event.offsetX - drag.from) > 8) this.options.zoomTo(a, b); else this.options.goTo(b);
    });
    this.canvas.addEventListener("dblclick", () => this.options.zoomTo(null, null));
    this.canvas.addEventListener("keydown", (event) => this.options.key(event));
  }

  timeAt(x) {
    const [from, until] = span(), width = Math.max(this.canvas.clientWidth - LEFT - RIGHT, 1);
    return clamp(from + ((x - LEFT) / width) * (until - from), from, until);
  }

  draw() {
    const { canvas } = this, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !story) return;
    const density = Math.min(devicePixelRatio || 1, 3);
    if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    const [from, until] = span(), x = (time) => LEFT + ((time - from) / (until - from)) * (width - LEFT - RIGHT);
    const first = Math.max(lastUntil(story.windows, (window) => window[W.end], from), 0);
    const shown = [];
    for (let place = first; place < story.windows.length && story.windows[place][W.start] <= until; place++) shown.push(story.windows[place]);
    this.scale(shown);
    const inner = height - TOP - BOTTOM, y = (value) => {
      const share = this.log ? (Math.log10(Math.max(value, this.least)) - Math.log10(this.least)) / (Math.log10(this.most) - Math.log10(this.least)) : (value - this.least) / (this.most - this.least);
      return TOP + (1 - clamp(share, -0.02, 1.02)) * inner;
    };
    this.grid(pen, x, y, width, height, from, until);
    this.marks(pen, x, height, from, until);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, TOP - 2, width - LEFT - RIGHT, inner + 4);
    pen.clip();
    for (const series of this.series) {
      pen.strokeStyle = colour(series.colour);
      pen.lineWidth = series.dash ? 1.6 : 2;
      pen.setLineDash(series.dash || []);
      pen.beginPath();
      let pending = false;
      for (const window of shown) {
        const value = series.value(window);
        if (!known(value)) { pending = false; continue; }
        const end = x(window[W.end]), begin = x(window[W.start]), at = y(value);
        if (series.step) { if (pending) pen.lineTo(begin, at); else pen.moveTo(begin, at); pen.lineTo(end, at); }
        else if (pending) pen.lineTo(end, at);
        else { pen.moveTo(Math.max(end - 1.5, begin), at); pen.lineTo(end, at); }
        pending = true;
      }
      pen.stroke();
    }
    pen.restore();
    pen.setLineDash([]);
    const now = x(this.options.time());
    if (now >= LEFT - 1 && now <= width - RIGHT + 1) {
      pen.strokeStyle = colour("ink");
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(now, TOP - 6);
      pen.lineTo(now, height - BOTTOM);
      pen.stroke();
      // What came after the time shown is fainter.
      pen.globalAlpha = 0.6;
      pen.fillStyle = colour("card");
      pen.fillRect(now + 1, TOP, width - RIGHT - now - 1, height - TOP - BOTTOM);
      pen.globalAlpha = 1;
    }
    this.drawDrag(pen, height);
  }

  drawDrag(pen, height) {
    if (!this.drag || Math.abs(this.drag.to - this.drag.from) <= 8) return;
    pen.fillStyle = colour("link");
    pen.globalAlpha = 0.2;
    pen.fillRect(Math.min(this.drag.from, this.drag.to), TOP, Math.abs(this.drag.to - this.drag.from), height - TOP - BOTTOM);
    pen.globalAlpha = 1;
  }

  scale(shown) {
    let least = Infinity, most = -Infinity;
    for (const window of shown) for (const series of this.series) {
      const value = series.value(window);
      if (known(value)) { least = Math.min(least, value); most = Math.max(most, value); }
    }
    this.log = this.options.log && most > 0 && most / Math.max(least, 1e-3) > 20;
    if (this.log) {
      this.least = 10 ** Math.floor(Math.log10(Math.max(least, 1e-3)));
      this.most = 10 ** Math.ceil(Math.log10(most) - 1e-9);
      if (this.most <= this.least) this.most = this.least * 10;
    } else {
      this.least = 0;
      this.most = Math.max(most > 0 ? most * 1.08 : 1, this.options.span || 0);
    }
  }

  grid(pen, x, y, width, height, from, until) {
    const values = this.log ? [] : ticks(this.least, this.most, 3);
    if (this.log) for (let value = this.least; value <= this.most * 1.001; value *= 10) values.push(value);
    pen.lineWidth = 1;
    pen.strokeStyle = colour("line");
    pen.fillStyle = colour("soft");
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const value of values) {
      const at = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      pen.stroke();
      pen.fillText(value === 0 ? "0" : this.options.format(value).replace(/\.0+(?=\D|$)/, ""), LEFT - 6, at);
    }
    pen.textBaseline = "alphabetic";
    pen.textAlign = "center";
    for (const time of ticks(from, until, Math.max(2, Math.floor(width / 130)))) pen.fillText(time >= 100 || Number.isInteger(time) ? time.toFixed(0) + " s" : time.toFixed(until - from < 1 ? 2 : 1) + " s", clamp(x(time), LEFT + 8, width - RIGHT - 12), height - 5);
  }

  // Migrations as bands, decisions as numbered lines.
  marks(pen, x, height, from, until, linesOnly) {
    pen.fillStyle = colour("path");
    pen.globalAlpha = linesOnly ? 0 : 0.2;
    for (const migration of story.migrations) {
      const end = migration.done_s === null ? endOf() : migration.done_s;
      if (end < from || migration.at_s > until) continue;
      const a = Math.max(x(migration.at_s), LEFT);
      pen.fillRect(a, TOP, Math.max(x(Math.min(end, until)) - a, 2), height - TOP - BOTTOM);
    }
    pen.globalAlpha = 1;
    let free = -Infinity;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const decision of story.decisions) {
      if (decision.at_s < from || decision.at_s > until) continue;
      const at = x(decision.at_s), chosen = decision.number === this.options.chosen();
      pen.strokeStyle = colour("path");
      pen.lineWidth = chosen ? 2.5 : 1.2;
      // Many of them must not hide the lines.
      pen.globalAlpha = chosen || story.decisions.length < 20 ? 1 : 0.4;
      pen.beginPath();
      pen.moveTo(at, TOP - 4);
      pen.lineTo(at, height - BOTTOM);
      pen.stroke();
      pen.globalAlpha = 1;
      if (at < free && !chosen) continue;
      const label = String(decision.number), wide = Math.max(16, pen.measureText(label).width + 8);
      free = at + wide + 2;
      pen.fillStyle = colour(chosen ? "path" : "mark");
      pen.fillRect(at - wide / 2, 2, wide, 14);
      pen.strokeRect(at - wide / 2, 2, wide, 14);
      pen.fillStyle = chosen ? colour("card") : colour("ink");
      pen.fillText(label, at, 9.5);
    }
  }

  // What the lines are, with their values at a time.
  legend(time, window) {
    put(this.keys, this.log && el("span", { class: "key quiet" }, "logarithmic\u2002"), this.series.map((series) => el("span", { class: "key" }, el("i", { class: "k" + series.colour.slice(1) + (series.dash ? (series.dash[0] < 3 ? " dot" : " dash") : "") }), series.name + " ", el("span", {}, window ? (series.format || this.options.format)(series.value(window)) : "–"), "\u2002")));
    this.canvas.setAttribute("aria-valuemax", endOf());
    this.canvas.setAttribute("aria-valuenow", time);
    this.canvas.setAttribute("aria-valuetext", `${seconds(time)}: ` + this.series.map((series) => `${series.name} ${window ? (series.format || this.options.format)(series.value(window)) : "unknown"}`).join(", "));
  }
}

// The load of every instance by time, a row each: where load is uneven, and when that changed.
const MOST_LANES = 150;
class Lanes extends Chart {
  constructor(options) {
    super("Load of instances", [], options);
    this.log = false;
    this.canvas.addEventListener("pointermove", (event) => {
      const lane = this.lanes && this.lanes[Math.floor((event.offsetY - TOP) / this.high)], time = this.timeAt(event.offsetX);
      const frame = lane && instancesAt(time), row = frame && frame.rows.find((row) => row[I.operator] === lane[0] && row[I.instance] === lane[1]);
      this.says = lane ? `${nameOf(lane[0])} ${lane[1]}: ${row ? percent(row[I.busy]) + " busy, queue " + amount(row[I.queue]) : "not there"} at ${seconds(time)}` : null;
      this.legend(time, null);
    });
    this.canvas.addEventListener("pointerleave", () => { this.says = null; this.legend(this.options.time(), null); });
  }

  draw() {
    if (!story) return;
    const [from, until] = span(), frames = [];
    for (let place = Math.max(lastUntil(story.instances, (frame) => frame.end_s, from), 0); place < story.instances.length; place++) {
      const frame = story.instances[place], begin = place ? story.instances[place - 1].end_s : startOf();
      if (begin > until) break;
      frames.push([frame, begin]);
    }
    const loads = new Map();
    for (const [frame] of frames) for (const row of frame.rows) {
      const role = story.operators[row[I.operator]].role;
      if (role === "source" || role === "sink") continue;
      const key = row[I.operator] * 1e6 + row[I.instance];
      loads.set(key, Math.max(loads.get(key) || 0, row[I.busy]));
    }
    let keys = [...loads.keys()];
    this.left = Math.max(0, keys.length - MOST_LANES);
    if (this.left) keys = keys.sort((a, b) => loads.get(b) - loads.get(a)).slice(0, MOST_LANES);
    keys.sort((a, b) => a - b);
    this.lanes = keys.map((key) => [Math.floor(key / 1e6), key % 1e6]);
    this.root.hidden = !keys.length;
    if (!keys.length) return;
    this.high = clamp(Math.floor(220 / keys.length), 2, 12);
    this.canvas.style.height = keys.length * this.high + TOP + BOTTOM + "px";
    const { canvas } = this, width = canvas.clientWidth, height = canvas.clientHeight, density = Math.min(devicePixelRatio || 1, 3);
    if (!width) return;
    if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) { canvas.width = Math.round(width * density); canvas.height = Math.round(height * density); }
    const pen = canvas.getContext("2d"), x = (time) => LEFT + ((time - from) / (until - from)) * (width - LEFT - RIGHT);
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    const place = new Map(keys.map((key, lane) => [key, lane]));
    const [idle, busy] = [colour("line"), colour("busy")];
    for (const [frame, begin] of frames) {
      const a = clamp(x(begin), LEFT, width - RIGHT), wide = clamp(x(frame.end_s), LEFT, width - RIGHT) - a + 0.6;
      if (wide <= 0.6) continue;
      for (const row of frame.rows) {
        const lane = place.get(row[I.operator] * 1e6 + row[I.instance]);
        if (lane === undefined) continue;
        const y = TOP + lane * this.high;
        pen.fillStyle = idle;
        pen.fillRect(a, y, wide, this.high - (this.high > 3 ? 1 : 0));
        pen.globalAlpha = clamp(row[I.busy], 0, 1) ** 1.5;
        pen.fillStyle = busy;
        pen.fillRect(a, y, wide, this.high - (this.high > 3 ? 1 : 0));
        pen.globalAlpha = 1;
      }
    }
    this.drawPaths(pen, x, from, until, place, frames);
    // No scale of its own: only the times, and the names of operators where they begin.
    pen.fillStyle = colour("soft");
    pen.textAlign = "center";
    for (const time of ticks(from, until, Math.max(2, Math.floor(width / 130)))) pen.fillText(time.toFixed(until - from < 20 ? 1 : 0) + " s", clamp(x(time), LEFT + 8, width - RIGHT - 12), height - 5);
    pen.textAlign = "right";
    pen.textBaseline = "top";
    let free = 0;
    this.lanes.forEach(([operator], lane) => {
      if (lane && this.lanes[lane - 1][0] === operator) return;
      const y = TOP + lane * this.high, name = nameOf(operator);
      pen.fillStyle = colour("ink");
      if (lane) { pen.fillRect(LEFT - 4, y - 0.5, width - LEFT - RIGHT + 4, 1); }
      if (y < free) return;
      free = y + 12;
      pen.fillText(name.length > 8 ? name.slice(0, 7) + "…" : name, LEFT - 6, y);
    });
    this.marks(pen, x, height, from, until, true);
    const now = x(this.options.time());
    if (now >= LEFT - 1 && now <= width - RIGHT + 1) { pen.fillStyle = colour("ink"); pen.fillRect(now - 0.75, TOP - 6, 1.5, height - TOP - BOTTOM + 6); }
    this.drawDrag(pen, height);
  }

  // In every window of the policy, the critical path from left to right: it stays in the row of an operator's busiest instance for as
  // much of the window as its share there.
  drawPaths(pen, x, from, until, place, frames) {
    this.hasPath = false;
    let begin = startOf();
    const lines = [];
    for (const path of story.paths) {
      const [a, b] = [x(begin), x(path.at_s)], shares = sharesOf(path);
      begin = path.at_s;
      if (path.at_s < from || a > x(until)) continue;
      // Narrower than that it would be a blot.
      if (b - a < 14) continue;
      const frame = frames[lastUntil(frames, ([frame]) => frame.end_s, path.at_s)];
      if (!frame) continue;
      const busiest = new Map();
      for (const row of frame[0].rows) {
        const lane = place.get(row[I.operator] * 1e6 + row[I.instance]), most = busiest.get(row[I.operator]);
        if (lane !== undefined && (!most || row[I.busy] > most[1])) busiest.set(row[I.operator], [lane, row[I.busy]]);
      }
      const all = [...shares.values()].reduce((sum, share) => sum + share, 0) || 1, points = [];
      let at = a + 1;
      story.operators.forEach((operator, number) => {
        const share = shares.get(operator.name);
        if (!share) return;
        const wide = ((b - a - 2) * share) / all, lane = busiest.get(number);
        // Sources and sinks have no row: they are above the first and below the last.
        const y = lane ? TOP + (lane[0] + 0.5) * this.high : operator.role === "sink" ? TOP + this.lanes.length * this.high + 2 : TOP - 2;
        points.push([at, y], [at + wide, y]);
        at += wide;
      });
      if (points.length) lines.push(points);
    }
    for (const [width, name] of [[4.5, "blocked"], [2, "route"]]) {
      pen.strokeStyle = colour(name);
      pen.lineWidth = width;
      pen.lineJoin = "round";
      for (const points of lines) {
        pen.beginPath();
        points.forEach(([a, y], place) => (place ? pen.lineTo(clamp(a, LEFT, this.canvas.clientWidth - RIGHT), y) : pen.moveTo(clamp(a, LEFT, this.canvas.clientWidth - RIGHT), y)));
        pen.stroke();
      }
    }
    this.hasPath = lines.length > 0;
    this.zoomsForPath = !lines.length && story.paths.length > 0;
  }

  legend(time) {
    const line = this.hasPath ? "; the line is the critical path of each window, in the row of an operator's busiest instance for its share there" : this.zoomsForPath ? "; zoom in for the critical path" : "";
    const about = this.says || `the redder, the busier; one row per instance${line}${this.left ? `, the ${MOST_LANES} busiest` : ""}`;
    put(this.keys, el("span", { class: "key long" }, about));
    this.canvas.setAttribute("aria-valuemax", endOf());
    this.canvas.setAttribute("aria-valuenow", time);
    this.canvas.setAttribute("aria-valuetext", `${seconds(time)}: see the table of instances`);
  }
}

function makeCharts(options) {
  const of = (operator) => (window) => {
    const found = window[W.operators].find((at) => at[O.operator] === operator);
    return found ? found[O.instances] : null;
  };
  const scalable = story.operators.map((operator, number) => [operator, number]).filter(([operator]) => operator.scalable);
  const some = scalable.slice(0, 8);
  const lines = some.map(([operator, number], place) => ({ name: operator.name, colour: "s" + place, step: true, dash: [null, [7, 3], [2, 3]][place % 3], value: of(number) }));
  if (scalable.length > some.length || !some.length) {
    const all = (window) => window[W.operators].reduce((sum, at) => sum + at[O.instances], 0);
    lines.unshift({ name: "all operators", colour: "s7", step: true, value: all });
  }
  const goal = { name: "goal", colour: "s6", dash: [2, 3], value: () => story.goal_ms };
  const latencies = [{ name: "p99", colour: "s1", value: (window) => window[W.p99] }, { name: "p50", colour: "s0", dash: [7, 3], value: (window) => window[W.p50] }];
  return [
    new Chart("Throughput (records/s)", [{ name: "achieved", colour: "s0", value: (window) => window[W.achieved] }, { name: "offered", colour: "s1", dash: [7, 3], value: (window) => window[W.offered] }], { ...options, format: amount }),
    new Chart("Lag (records)", [{ name: "due, not emitted", colour: "s3", value: (window) => window[W.lag] }], { ...options, span: 4, format: amount }),
    new Chart("Latency", known(story.goal_ms) ? [...latencies, goal] : latencies, { ...options, log: true, format: latency }),
    new Chart("Instances", lines, { ...options, format: (value) => (known(value) ? (Number.isInteger(value) ? String(value) : value.toFixed(1)) : "–") }),
    new Lanes(options),
  ];
}
