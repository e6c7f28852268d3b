// The dataflow: boxes from left to right, with the critical path as a line through them.
const WIDE = 184, HIGH = 92, ACROSS = 54, DOWN = 26;
const MOST_BOXES = 60;

// Of a large job: what is on the critical path, and the busiest.
function shownOperators(window, shares) {
  const all = story.operators.map((_, number) => number);
  if (all.length <= MOST_BOXES) return all;
  const at = new Map((window ? window[W.operators] : []).map((at) => [at[O.operator], at]));
  const weight = (number) => (shares.get(nameOf(number)) || 0) * 10 + (at.has(number) ? Math.max(at.get(number)[O.busy], at.get(number)[O.blocked]) : -1);
  return all.sort((a, b) => weight(b) - weight(a)).slice(0, MOST_BOXES).sort((a, b) => a - b);
}

// Columns by the longest way from a source, rows so that few edges cross.
function layOut(numbers) {
  const edges = story.edges.filter(([from, to]) => numbers.includes(from) && numbers.includes(to));
  const column = new Map(numbers.map((number) => [number, 0]));
  for (let round = 0; round < numbers.length; round++) {
    let moved = false;
    for (const [from, to] of edges) if (from !== to && column.get(to) < column.get(from) + 1 && column.get(from) + 1 < numbers.length) { column.set(to, column.get(from) + 1); moved = true; }
    if (!moved) break;
  }
  const columns = [];
  for (const number of numbers) (columns[column.get(number)] ||= []).push(number);
  // An edge over several columns has a place of its own in each between, so that it passes no box.
  const links = [], over = new Map();
  for (const edge of edges) {
    let [last, to] = edge;
    const between = [];
    for (let at = column.get(edge[0]) + 1; at < column.get(to); at++) {
      const dummy = `${edge[0]}>${to}@${at}`;
      (columns[at] ||= []).push(dummy);
      column.set(dummy, at);
      between.push(dummy);
      links.push([last, dummy]);
      last = dummy;
    }
    links.push([last, to]);
    over.set(edge, between);
  }
  for (let place = 0; place < columns.length; place++) columns[place] ||= [];
  const row = new Map();
  const settle = () => columns.forEach((list) => list.forEach((number, place) => row.set(number, place - (list.length - 1) / 2)));
  settle();
  for (let sweep = 0; sweep < 6; sweep++) {
    const by = sweep % 2 ? 0 : 1;
    for (const list of columns) {
      const wish = new Map(list.map((number) => {
        const near = links.filter((edge) => edge[by] === number).map((edge) => row.get(edge[1 - by]));
        return [number, near.length ? near.reduce((a, b) => a + b, 0) / near.length : row.get(number)];
      }));
      list.sort((a, b) => wish.get(a) - wish.get(b) || String(a).localeCompare(String(b), "en", { numeric: true }));
    }
    settle();
  }
  const most = Math.max(1, ...columns.map((list) => list.length));
  const width = columns.length * (WIDE + ACROSS) - ACROSS + 16, height = most * (HIGH + DOWN) - DOWN + 30;
  const place = new Map([...row.keys()].map((number) => [number, { x: 8 + column.get(number) * (WIDE + ACROSS), y: 22 + (row.get(number) + (most - 1) / 2) * (HIGH + DOWN) }]));
  return { edges, over, place, column, width, height };
}

// The way through the graph on which most of the critical path lies.
function heaviest(numbers, edges, column, shares) {
  const weight = (number) => shares.get(nameOf(number)) || 0;
  if (![...numbers].some((number) => weight(number) > 0)) return [];
  const best = new Map(numbers.map((number) => [number, { sum: weight(number), before: null }]));
  for (const number of [...numbers].sort((a, b) => column.get(a) - column.get(b) || a - b)) for (const [from, to] of edges) {
    if (to !== number || column.get(from) >= column.get(to)) continue;
    const sum = best.get(from).sum + weight(number);
    if (sum > best.get(number).sum || (sum === best.get(number).sum && best.get(number).before === null)) best.set(number, { sum, before: from });
  }
  let last = numbers[0];
  for (const number of numbers) if (best.get(number).sum >= best.get(last).sum) last = number;
  const way = [];
  for (let number = last; number !== null; number = best.get(number).before) way.unshift(number);
  return way;
}

// How the time of an operator divides; a source is held up as long as anything downstream holds it up.
function stateOf(number, at, window, busiest, blocked) {
  const role = story.operators[number].role;
  const busy = at ? clamp(at[O.busy], 0, 1) : 0, wait = at ? clamp(at[O.wait], 0, 1 - busy) : 0;
  const held = role === "source" && window ? clamp(Math.max(0, ...window[W.operators].filter((other) => story.operators[other[O.operator]].role !== "source").map((other) => Math.max(other[O.blocked], blocked.get(other[O.operator]) || 0))), 0, 1 - busy - wait) : 0;
  const kind = held >= 0.1 && held >= busy ? "blocked" : busy >= 0.6 || busiest >= 0.9 ? "busy" : wait >= 0.5 ? "wait" : "idle";
  return { busy, wait, held, kind };
}

function drawGraph(time, chosen, choose) {
  const window = windowAt(time), path = pathAt(time), shares = sharesOf(path);
  const numbers = shownOperators(window, shares), short = window && (isShort(window) || isCatchingUp(window));
  if (!numbers.length) { put(byId("graph-box"), el("p", { class: "quiet" }, "No operators are known yet.")); put(byId("graph-legend")); return; }
  const { edges, over, place, column, width, height } = layOut(numbers);
  const way = heaviest(numbers, edges, column, shares);
  const on = new Set(way.slice(1).map((number, index) => way[index] + ">" + number));
  const ats = new Map((window ? window[W.operators] : []).map((at) => [at[O.operator], at]));
  // As in Flink, an operator is as busy as its busiest instance: that one limits it.
  const most = new Map(), blocked = new Map(), frame = instancesAt(time);
  const largest = (of, operator, value) => of.set(operator, Math.max(of.get(operator) || 0, value));
  const which = new Map();
  for (const row of frame && window && frame.end_s > window[W.start] - 1e-9 ? frame.rows : []) { if (row[I.busy] > (most.get(row[I.operator]) || 0)) which.set(row[I.operator], row[I.instance]); largest(most, row[I.operator], row[I.busy]); largest(blocked, row[I.operator], row[I.blocked]); }
  const isFarAbove = (number, busy) => most.get(number) >= 0.9 && most.get(number) > busy + 0.15;
  const sources = story.operators.filter((operator) => operator.role === "source").length;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Dataflow graph" });
  const link = (from, to, back, between) => {
    const a = place.get(from), b = place.get(to);
    if (!a || !b) return;
    const [x1, y1, x2, y2] = back ? [a.x + WIDE / 2, a.y + HIGH, b.x + WIDE / 2, b.y + HIGH] : [a.x + WIDE, a.y + HIGH / 2, b.x - 2, b.y + HIGH / 2];
    const bend = back ? 26 : Math.max(24, (x2 - x1) / 2), lit = on.has(from + ">" + to);
    let way = `M${x1},${y1} `;
    if (back) way += `C${x1},${y1 + bend} ${x2},${y2 + bend} ${x2},${y2}`;
    else {
      const points = between.flatMap((dummy) => { const at = place.get(dummy); return [[at.x - 4, at.y + HIGH / 2], [at.x + WIDE + 4, at.y + HIGH / 2]]; });
      let [x, y] = [x1, y1];
      for (const [nextX, nextY] of [...points, [x2 - (lit ? 8 : 4), y2]]) { const half = Math.max((nextX - x) / 2, 12); way += `C${x + half},${y} ${nextX - half},${nextY} ${nextX},${nextY} `; [x, y] = [nextX, nextY]; }
    }
    const ends = { "data-from": from, "data-to": to };
    root.append(svg("path", { d: way, class: "edge" + (lit ? " on" : "") + (back ? " back" : ""), ...ends }));
    const head = lit ? 11 : 7;
    if (!back) root.append(svg("path", { d: `M${x2},${y2} l${-head},${-head * 0.6} v${head * 1.2} z`, class: "head" + (lit ? " on" : ""), ...ends }));
  };
  edges.forEach((edge) => link(edge[0], edge[1], false, over.get(edge)));
  story.feedback.forEach(([from, to]) => link(from, to, true, []));
  const reach = (start, from, to) => {
    const found = new Set([start]), open = [start];
    while (open.length) { const next = open.pop(); for (const edge of edges) if (edge[from] === next && !found.has(edge[to])) { found.add(edge[to]); open.push(edge[to]); } }
    return found;
  };
  for (const number of numbers) {
    const { x, y } = place.get(number), at = ats.get(number), operator = story.operators[number];
    const busiest = most.get(number) || 0, { busy, wait, held, kind } = stateOf(number, at, window, busiest, blocked), share = shares.get(operator.name) || 0;
    const word = kind === "blocked" ? `backpressured ${percent(held)}` : kind === "wait" ? `waits ${percent(wait)}` : `${percent(busy)} busy`;
    const lines = [operator.name, `${operator.role}${operator.bins ? `, ${operator.bins} bins` : ""}`, at ? plural(at[O.instances], "instance") + (operator.max_parallelism ? ` (at most ${operator.max_parallelism})` : "") : "no figures",
      `busy ${percent(busy)}${busiest > busy + 0.05 ? ` (the busiest instance ${percent(busiest)})` : ""}, external wait ${percent(wait)}${operator.role === "source" ? `, backpressured ${percent(held)}` : `; pauses the sources ${at ? percent(at[O.blocked]) : "–"} per instance`}`,
      at ? `queue ${amount(at[O.queue])} records; processes ${amount(at[O.processed])}/s` : "", at && known(at[O.speed]) ? `an instance can do ${amount(at[O.speed])}/s` : "", share > 0 ? `${percent(share)} of the critical path` : "not on the critical path"].filter(Boolean);
    const short = operator.name.length > 21 ? operator.name.slice(0, 20) + "…" : operator.name;
    const inner = WIDE - 16;
    const box = svg("g", { class: "box", tabindex: "0", role: "button", "aria-pressed": String(chosen === operator.name), "aria-label": lines.join(". "), transform: `translate(${x},${y})`, "data-number": number },
      svg("rect", { class: "frame", width: WIDE, height: HIGH, rx: 8, fill: colour(kind), stroke: share > 0 && way.includes(number) ? colour("path") : kind === "blocked" ? colour("blocked-line") : chosen === operator.name ? colour("link") : colour("line"), "stroke-width": share > 0 && way.includes(number) ? 5 : chosen === operator.name ? 4 : 1.5 }),
      svg("text", { x: 10, y: 22, fill: "#ffffff", "font-weight": "700" }, short),
      svg("text", { x: WIDE - 10, y: 22, fill: "#ffffff", "text-anchor": "end", "font-weight": "700" }, at ? "×" + at[O.instances] : ""),
      svg("text", { x: 10, y: 42, fill: "#ffffff" }, at ? word : "no figures"),
      svg("text", { x: 10, y: 60, fill: "#ffffff" }, at ? (operator.role === "source" ? (sources === 1 && window ? `lag ${amount(Math.round(window[W.lag]))}` : `emits ${amount(at[O.processed])}/s`) : `queue ${amount(at[O.queue])}`) : ""),
      isFarAbove(number, busy) && svg("text", { x: WIDE - 10, y: 60, fill: "#ffffff", "text-anchor": "end" }, `no. ${which.get(number)}: ${percent(busiest)}`),
      at && at[O.blocked] >= 0.05 && operator.role !== "source" && svg("text", { x: WIDE - 10, y: 42, fill: "#ffffff", "text-anchor": "end" }, `pauses ${percent(at[O.blocked])}`),
      svg("rect", { x: 8, y: 72, width: inner, height: 12, rx: 2, fill: colour("idle"), stroke: "#ffffff", "stroke-width": 1 }),
      svg("rect", { x: 8, y: 72, width: inner * busy, height: 12, fill: colour("busy"), stroke: "#ffffff", "stroke-width": 1 }),
      wait > 0.005 && svg("rect", { x: 8 + inner * busy, y: 72, width: inner * wait, height: 12, fill: colour("wait"), stroke: "#ffffff", "stroke-width": 1 }),
      held > 0.005 && svg("rect", { x: 8 + inner * (busy + wait), y: 72, width: inner * held, height: 12, fill: colour("blocked"), stroke: "#ffffff", "stroke-width": 1 }));
    if (share > 0) {
      const label = percent(share) + " of path";
      box.append(svg("rect", { x: WIDE / 2 - 48, y: -13, width: 96, height: 20, rx: 10, fill: colour("card"), stroke: colour("path"), "stroke-width": 2 }), svg("text", { x: WIDE / 2, y: 2, "text-anchor": "middle", fill: colour("ink"), "font-weight": "600" }, label));
    }
    const pick = () => choose(chosen === operator.name ? null : operator.name);
    const light = (event) => {
      const upstream = reach(number, 1, 0), downstream = reach(number, 0, 1);
      for (const other of root.querySelectorAll("[data-number]")) { const id = Number(other.dataset.number); other.classList.toggle("dim", !upstream.has(id) && !downstream.has(id)); }
      for (const edge of root.querySelectorAll("[data-from]")) { const [from, to] = [Number(edge.dataset.from), Number(edge.dataset.to)]; edge.classList.toggle("dim", !(upstream.has(from) && upstream.has(to)) && !(downstream.has(from) && downstream.has(to))); }
      const rect = box.getBoundingClientRect();
      showTip(lines.join("\n"), event.clientX || rect.left, event.clientY || rect.bottom);
    };
    const dark = () => { hideTip(); for (const other of root.querySelectorAll(".dim")) other.classList.remove("dim"); };
    box.addEventListener("click", pick);
    box.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } else if (event.key === "Escape") dark(); });
    for (const name of ["pointermove", "focus"]) box.addEventListener(name, light);
    for (const name of ["pointerleave", "blur"]) box.addEventListener(name, dark);
    root.append(box);
  }
  const focused = document.activeElement && document.activeElement.closest && document.activeElement.closest("#graph-box [data-number]");
  const again = focused && focused.dataset.number;
  put(byId("graph-box"), root);
  // Readable before it is small: beyond that the box scrolls.
  const room = byId("graph-box").clientWidth || width, scale = clamp(room / width, 0.62, 1.15);
  root.setAttribute("width", Math.floor(width * scale));
  root.setAttribute("height", Math.ceil(height * scale));
  if (again) { const box = root.querySelector(`[data-number="${again}"]`); if (box) { box.focus({ preventScroll: true }); hideTip(); } }
  const key = (name, text) => el("span", {}, el("i", { class: "i-" + name }), text);
  const left = story.operators.length - numbers.length;
  const operators = window ? window[W.operators] : [], ones = operators.some((at) => isFarAbove(at[O.operator], at[O.busy]));
  put(byId("graph-legend"), key("idle", "idle"), key("busy", "busy, which is no fault in itself"), operators.some((at) => at[O.blocked] > 0.005) && key("blocked", "backpressured"), operators.some((at) => at[O.wait] > 0.005) && key("wait", "waits for something external"),
    way.length > 0 && key("path", story.about.is_analysis ? "critical paths of the window" : `critical path of the slowest epochs${short ? "" : ": where their time goes, though the job keeps up"}`),
    operators.some((at) => at[O.blocked] >= 0.05) && el("span", {}, "pauses: share of the time for which an instance backpressures the sources, on average"), ones && el("span", {}, "no.: the busiest instance, where it is far above the mean"), left > 0 && el("span", {}, `${plural(left, "operator")} less busy not drawn`));
}
