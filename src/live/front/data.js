// The story, and what it says of a time.
const W = { start: 0, end: 1, offered: 2, achieved: 3, lag: 4, p50: 5, p99: 6, max: 7, records: 8, leftOut: 9, operators: 10 };
const O = { operator: 0, instances: 1, busy: 2, wait: 3, blocked: 4, queue: 5, processed: 6, speed: 7 };
const I = { operator: 0, instance: 1, worker: 2, busy: 3, wait: 4, blocked: 5, queue: 6, processed: 7, speed: 8 };
// Beyond the first a page asks for the story again, which has fewer, combined windows; beyond the
// second every other frame of instances is dropped.
const MOST_WINDOWS = 12000, MOST_ROWS = 40000;

let story = null;
const nameOf = (operator) => (story.operators[operator] ? story.operators[operator].name : "op" + operator);
const endOf = () => (story.windows.length ? story.windows[story.windows.length - 1][W.end] : 0);
const startOf = () => (story.windows.length ? story.windows[0][W.start] : 0);
function windowAt(time) {
  const place = lastUntil(story.windows, (window) => window[W.end], time);
  return story.windows[Math.max(place, 0)] || null;
}
function instancesAt(time) {
  const place = lastUntil(story.instances, (frame) => frame.end_s, time);
  return story.instances[Math.max(place, 0)] || null;
}
const pathAt = (time) => story.paths[lastUntil(story.paths, (path) => path.at_s, time)] || null;
const decisionsUntil = (time) => story.decisions.filter((decision) => decision.at_s <= time + 1e-9);
const warningHolds = (warning, time) =>
  warning.since_s <= time + 1e-9 && (warning.until_s === null ? true : warning.until_s > time || (warning.until_s === warning.since_s && time - warning.since_s < 10));
// What a warning said at a time, and when that was measured: nothing that came later.
function warningAt(warning, time) {
  if (!warning.before || warning.worst_s <= time + 1e-9) return { at: warning.worst_s, what: warning.what };
  const [at, what] = warning.before[Math.max(0, lastUntil(warning.before, (told) => told[0], time))];
  return { at, what };
}
// Warnings that say what limits an operator, and that more instances of it may not help.
const SPECIFIC = ["skewed", "straggler", "slow-instance", "uneven", "external-wait", "at-limit", "crowded-worker", "host", "hot-key", "budget-reached", "goal-out-of-reach", "policy-disabled", "paused", "held"];
// Whether the job does not do what is asked of it in a window.
function isShort(window) {
  const late = known(story.goal_ms) && known(window[W.p99]) && window[W.p99] > story.goal_ms;
  return (window[W.offered] > 0 && window[W.achieved] < 0.97 * window[W.offered]) || late || window[W.lag] > window[W.offered];
}
// Whether it does more than is offered because records are late.
const isCatchingUp = (window) => window[W.lag] > 0.1 * window[W.offered] && window[W.achieved] > 1.02 * window[W.offered];
// The operator with the most work waiting, and for how long it has to work to do it; nothing below a tenth of a second.
function longestQueue(window) {
  const [longest] = window[W.operators].filter((at) => at[O.processed] > 0).map((at) => [at, at[O.queue] / at[O.processed]]).sort((a, b) => b[1] - a[1]);
  return longest && longest[1] > 0.1 ? { operator: nameOf(longest[0][O.operator]), records: longest[0][O.queue], seconds: longest[1] } : null;
}
// The times until a window at which the job did not do what was asked of it for a second and a half or more, with what it took to
// catch up, the worst first.
let episodes = { of: null, all: [] };
function episodesUntil(time) {
  const end = lastUntil(story.windows, (window) => window[W.end], time);
  const about = [story.number, story.windows.length, end, story.goal_ms].join();
  if (episodes.of === about) return episodes.all;
  const found = [];
  let open = null, calm = 0;
  for (let place = 0; place <= end; place++) {
    const window = story.windows[place], bad = isShort(window) || (open && window[W.lag] > 0.1 * window[W.offered]);
    if (bad) { open ||= { from: window[W.start], bad: 0, lag: 0, p99: 0, least: 1, worst: 0, at: 0 }; calm = 0; } else if (open && ++calm > 1) { found.push(open); open = null; }
    if (!bad) continue;
    const share = window[W.offered] > 0 ? window[W.achieved] / window[W.offered] : 1, p99 = window[W.p99] || 0;
    const weight = window[W.offered] > 0 ? window[W.lag] / window[W.offered] + p99 / 1000 : p99 / 1000;
    open.bad += 1; open.until = window[W.end]; open.lag = Math.max(open.lag, window[W.lag]); open.p99 = Math.max(open.p99, p99); open.least = Math.min(open.least, share);
    if (weight > open.worst) { open.worst = weight; open.at = window[W.end]; }
  }
  // What goes on is told as what is.
  episodes = { of: about, all: found.filter((episode) => episode.bad >= 3 && episode.until - episode.from >= 1.4).sort((a, b) => b.worst - a.worst) };
  return episodes.all;
}
// The operator that had most of the critical path when an episode was at its worst, with its share.
function bottleneckOf(episode, time) {
  const next = story.paths.find((path) => path.at_s >= episode.at - 1e-9 && path.at_s <= Math.min(time, episode.until + 2) + 1e-9), path = next || pathAt(episode.at);
  const isSource = (name) => story.operators.some((operator) => operator.name === name && operator.role === "source");
  return [...sharesOf(path)].filter(([name]) => !isSource(name)).sort((a, b) => b[1] - a[1])[0] || null;
}
// Why the policy changed nothing, as it said last until a time, after its last plan.
function heldAt(time) {
  const held = story.held[lastUntil(story.held, (held) => held.at_s, time)], before = decisionsUntil(time);
  return held && !(before.length && before[before.length - 1].at_s > held.at_s) ? held : null;
}
// Share of the critical path by operator's name.
function sharesOf(path) {
  const shares = new Map();
  for (const part of path ? path.parts : []) if (part.operator) shares.set(part.operator, (shares.get(part.operator) || 0) + part.share);
  return shares;
}

function take(news) {
  story.number = news.number;
  story.about.state = news.state;
  if (news.notes) story.about.notes = news.notes;
  story.goal_ms = news.goal_ms;
  story.steered = news.steered;
  if (news.totals) story.totals = news.totals;
  if (news.diagnosis) story.diagnosis = news.diagnosis;
  if (news.window) story.windows.push(news.window);
  if (news.instances) {
    story.instances.push(news.instances);
    if (story.instances.length * news.instances.rows.length > MOST_ROWS) story.instances = story.instances.filter((_, place) => place % 2 === 1);
  }
  story.paths.push(...news.paths);
  for (const list of ["decisions", "quiet", "held", "migrations", "warnings"]) {
    const tail = news[list];
    story[list].length = Math.min(story[list].length, tail.from);
    story[list].push(...tail.items);
  }
}

// Listens to the server that this page is from: first to what is new, then asks for all there is, so
// that nothing is missed in between.
function connect(changed, lost) {
  let early = [], asks = false;
  const ask = () => {
    if (asks) return;
    asks = true;
    early = early.slice(-200);
    fetch("/api/story", { cache: "no-store" })
      .then((answer) => { if (!answer.ok) throw new Error("answer " + answer.status); return answer.json(); })
      .then((found) => {
        story = found;
        asks = false;
        const waiting = early;
        early = [];
        waiting.forEach(hear);
        changed(true);
      })
      .catch((why) => { asks = false; early = early.slice(-200); lost(String(why)); setTimeout(ask, 2000); });
  };
  const hear = (news) => {
    if (!story || asks) { early.push(news); return; }
    if (news.number <= story.number) return;
    if (news.number !== story.number + 1 || story.windows.length > MOST_WINDOWS) { early.push(news); ask(); return; }
    take(news);
    changed(false);
  };
  const source = new EventSource("/api/news");
  source.addEventListener("hello", ask);
  source.addEventListener("message", (message) => hear(JSON.parse(message.data)));
  source.addEventListener("error", () => {
    if (story && story.about.state !== "running") { source.close(); changed(false); return; }
    lost("The server does not answer. What was shown until then stays; the page tries again.");
  });
}
