// What is shown when: the time, what is chosen, and how it is drawn.
const state = { time: 0, follows: true, plays: false, decision: null, operator: null };
let charts = [], lastFrame = null, asked = false;

function askToDraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}
function goTo(time, keepsPlaying) {
  state.time = clamp(time, startOf(), endOf());
  state.follows = state.time >= endOf() - 1e-9;
  if (!keepsPlaying) state.plays = false;
  // What is gone to is in sight.
  const [from, until] = span();
  if (zoom.from !== null && (state.time < from || state.time > until)) {
    const wide = until - from, begin = clamp(state.time - wide / 2, startOf(), Math.max(startOf(), endOf() - wide));
    zoom.from = begin;
    zoom.until = begin + wide >= endOf() ? null : begin + wide;
  }
  askToDraw();
}
function choose(number) {
  state.decision = number;
  const decision = story.decisions.find((decision) => decision.number === number);
  if (decision && state.time < decision.at_s - 1e-9) goTo(decision.at_s);
  askToDraw();
}
function chooseOperator(name) { state.operator = name; table.page = 0; askToDraw(); }
function zoomTo(from, until) {
  if (from === null || until - from < (endOf() - startOf()) / 1e4) { zoom.from = zoom.until = null; } else { zoom.from = Math.max(from, startOf()); zoom.until = until >= endOf() ? null : until; }
  askToDraw();
}
function zoomBy(factor) {
  const [from, until] = span(), about = clamp(state.time, from, until), wide = (until - from) * factor;
  if (wide >= endOf() - startOf()) { zoomTo(null, null); return; }
  const begin = clamp(about - ((about - from) / (until - from)) * wide, startOf(), endOf() - wide);
  zoomTo(begin, begin + wide);
}
// To the next or the previous window with figures.
function step(by) {
  const place = clamp(lastUntil(story.windows, (window) => window[W.end], state.time) + by, 0, story.windows.length - 1);
  goTo(story.windows[place][W.end]);
}
function stepDecision(by) {
  const { decisions } = story;
  if (!decisions.length) return;
  const at = decisions.findIndex((decision) => decision.number === state.decision);
  const from = at >= 0 ? at : by > 0 ? lastUntil(decisions, (decision) => decision.at_s, state.time) : lastUntil(decisions, (decision) => decision.at_s, state.time) + 1;
  const next = decisions[clamp(from + by, 0, decisions.length - 1)];
  goTo(next.at_s);
  choose(next.number);
}
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const far = event.shiftKey ? 10 : 1;
  const does = { ArrowLeft: () => step(-far), ArrowRight: () => step(far), ArrowDown: () => step(-far), ArrowUp: () => step(far), PageUp: () => step(-20), PageDown: () => step(20), Home: () => goTo(startOf()), End: () => goTo(endOf()), "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), 0: () => zoomTo(null, null), " ": () => play(!state.plays), n: () => stepDecision(1), p: () => stepDecision(-1) }[event.key];
  if (does) { event.preventDefault(); does(); }
}
function play(plays) {
  if (plays && state.time >= endOf() - 1e-9) state.time = startOf();
  state.plays = plays;
  if (plays) state.follows = false;
  lastFrame = null;
  if (plays) requestAnimationFrame(advance);
  askToDraw();
}
function advance(now) {
  if (!state.plays) return;
  if (lastFrame !== null) {
    // Each frame draws all that changed; a dozen a second are enough.
    if (now - lastFrame < 80) { requestAnimationFrame(advance); return; }
    state.time = Math.min(state.time + (Math.min(now - lastFrame, 1000) / 1000) * Number(byId("speed").value), endOf());
    if (state.time >= endOf() - 1e-9) { state.plays = false; state.follows = true; }
    draw();
  }
  lastFrame = now;
  requestAnimationFrame(advance);
}

// A part is drawn again only when what it shows has changed.
const drawn = new Map();
function part(name, of, make) {
  const shows = JSON.stringify(of);
  if (drawn.get(name) === shows) return;
  drawn.set(name, shows);
  make();
}

function draw() {
  if (!story) return;
  if (state.follows) state.time = endOf();
  const { time } = state, { about } = story, live = about.state === "running";
  const window = windowAt(time), theme = document.documentElement.className, wide = innerWidth;
  const at = window ? window[W.end] : -1, path = pathAt(time), version = story.number;
  part("name", [about], () => {
    const title = about.is_analysis ? `Analysis of ${about.title}` : `${about.title || "A run"} · policy ${about.policy}`;
    for (const name of ["decisions", "migrations"]) byId(name).hidden = about.is_analysis;
    put(byId("title"), title, el("span", { class: "state " + about.state }, about.state === "running" ? "running" : about.state));
    byId("about").textContent = [about.host && "host " + about.host, !about.is_analysis && "seed " + about.seed, known(about.seconds) && about.seconds > 0 && about.seconds + " s", about.strategy && "migrates " + about.strategy, about.started_utc].filter(Boolean).join(" · ");
    document.title = title;
    put(byId("footer"), (about.notes || []).map((note) => el("p", {}, note)), story.windows_combined > 1 && el("p", {}, `Each point of a line stands for ${story.windows_combined} windows: rates and shares are means, p99 and maximum the largest, queues and lag those at the end.`),
      el("p", {}, [about.command, about.revision && "revision " + about.revision, about.machine].filter(Boolean).join(" · ")));
  });
  const seek = byId("seek");
  seek.min = startOf(); seek.max = endOf(); seek.value = time;
  seek.setAttribute("aria-valuetext", seconds(time));
  byId("clock").textContent = `${seconds(time)} of ${seconds(endOf())}`;
  byId("play").textContent = state.plays ? "Pause" : "Play";
  byId("follow").setAttribute("aria-pressed", String(state.follows));
  byId("follow").textContent = live ? "Follow" : "End";
  const decided = decisionsUntil(time).length;
  part("headline", [time, at, path && path.at_s, decided, version && story.decisions.length, story.goal_ms, about.state, story.diagnosis, about.is_analysis && endOf(), heldAt(time)], () => drawHeadline(time));
  part("warnings", [story.warnings.length && time, story.warnings.filter((warning) => warning.since_s <= time + 1e-9).map((warning) => [warning.since_s, warning.until_s, warningHolds(warning, time), warningAt(warning, time)])], () => drawWarnings(time, goTo));
  part("graph", [at, path && path.at_s, state.operator, theme, wide], () => drawGraph(time, state.operator, chooseOperator));
  part("path", [path, path && time, theme], () => drawPath(time));
  part("decisions", [story.decisions, state.decision, decided, story.decisions.map((decision) => [decision.done_s <= time + 1e-9, decision.known_s <= time + 1e-9]), time >= endOf() - 1e-9, heldAt(time), story.quiet.filter((quiet) => quiet.from_s <= time + 1e-9).pop()], () => drawDecisions(time, state.decision, choose));
  part("migrations", [story.migrations, story.migrations.map((migration) => migration.at_s <= time + 1e-9 && (migration.done_s === null || migration.done_s > time + 1e-9 ? time : "done"))], () => drawMigrations(time));
  const frame = instancesAt(time);
  part("instances", [frame && frame.end_s, state.operator, table], () => drawInstances(time, state.operator, chooseOperator, askToDraw));
  for (const chart of charts) { chart.draw(); chart.legend(time, window); }
  drawSteer();
}

function setTheme() {
  const wanted = byId("theme").value, dark = wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.className = dark ? "dark" : "";
  style = null;
  askToDraw();
}

function begin() {
  byId("play").addEventListener("click", () => play(!state.plays));
  byId("follow").addEventListener("click", () => { state.plays = false; state.follows = true; askToDraw(); });
  byId("seek").addEventListener("input", (event) => goTo(Number(event.target.value)));
  byId("theme").addEventListener("change", () => { try { localStorage.setItem("thalweg-theme", byId("theme").value); } catch { /* A file may not keep anything. */ } setTheme(); });
  try { byId("theme").value = localStorage.getItem("thalweg-theme") || ""; } catch { /* As above. */ }
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get("theme")) byId("theme").value = asked.get("theme");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);
  addEventListener("resize", askToDraw);
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea, canvas, summary") || !story) return;
    if (["n", "p", "+", "-", "0"].includes(event.key)) key(event);
    if (event.key === "Escape") { hideTip(); }
  });
  setTheme();
  const makes = () => {
    charts = makeCharts({
      time: () => state.time, chosen: () => state.decision, goTo, zoomTo, key,
      hover: (time) => { const at = time === null ? state.time : time; for (const chart of charts) chart.legend(at, windowAt(at)); },
    });
    put(byId("charts"), charts.map((chart) => chart.root));
  };
  const data = byId("story");
  const problem = (text) => { const box = byId("problem"); box.textContent = text || ""; box.hidden = !text; };
  if (data) {
    story = JSON.parse(data.textContent);
    if (story.version !== 1) { problem(`This page knows version 1 of the data, and found ${story.version}.`); return; }
    makes();
    state.time = endOf();
    // A time and a decision can be named in the address, such as #t=12&decision=2.
    if (asked.get("t")) goTo(Number(asked.get("t")) || 0);
    const before = decisionsUntil(state.time);
    if (asked.get("decision")) choose(Number(asked.get("decision"))); else choose(before.length ? before[before.length - 1].number : null);
    return;
  }
  let hadGoal = null, shows = null;
  connect((whole) => {
    problem("");
    if (story.version !== 1) { problem(`This page knows version 1 of the data, and found ${story.version}: load it again.`); return; }
    const run = [story.about.title, story.about.policy, story.about.host, story.about.seed].join("\n");
    if (run !== shows) {
      // Another run is on this page from now on.
      shows = run;
      Object.assign(state, { follows: true, plays: false, decision: null, operator: null });
      zoom.from = zoom.until = null;
    }
    if (whole || known(story.goal_ms) !== hadGoal) { hadGoal = known(story.goal_ms); drawn.clear(); makes(); }
    const last = story.decisions[story.decisions.length - 1];
    if (state.follows && last && state.decision === null) state.decision = last.number;
    else if (state.follows && last && state.decision === last.number - 1) state.decision = last.number;
    askToDraw();
  }, (why) => problem(why));
}
begin();
