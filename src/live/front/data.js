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
// The last time before a window during which the job did not do what was asked of it for three windows or more.
function lastShortBefore(time) {
  let place = lastUntil(story.windows, (window) => window[W.end], time);
  while (place >= 0) {
    while (place >= 0 && !isShort(story.windows[place])) place--;
    const end = place;
    // A window that is as it should be does not end it.
    while (place >= 0 && (isShort(story.windows[place]) || (place > 0 && isShort(story.windows[place - 1])))) place--;
    if (end - place >= 3) {
      const windows = story.windows.slice(place + 1, end + 1);
      return { from: windows[0][W.start], until: windows[windows.length - 1][W.end], lag: Math.max(...windows.map((window) => window[W.lag])), p99: Math.max(...windows.map((window) => window[W.p99] || 0)), shortest: Math.min(...windows.filter((window) => window[W.offered] > 0).map((window) => window[W.achieved] / window[W.offered])) };
    }
  }
  return null;
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
