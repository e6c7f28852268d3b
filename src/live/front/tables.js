// Without figures in brackets, but for the instance it is about.
const brief = (text) => text.replace(/ \(([^()]*\d[^()]*)\)/g, (_, inside) => { const instance = inside.match(/instance \d+/); return instance ? ` (${instance[0]})` : ""; });
// The headline, warnings, the critical path, decisions, migrations and instances.
const figure = (name, value, note, off) => el("div", { class: "figure" + (off ? " off" : "") }, el("span", { class: "quiet" }, name), el("b", {}, value), el("span", { class: "quiet" }, note));

function drawHeadline(time) {
  const window = windowAt(time), path = pathAt(time), box = byId("headline");
  const { is_analysis: isAnalysis } = story.about;
  if (!window) { put(box, el("p", { class: "told" }, isAnalysis ? "No window has been analysed yet." : story.about.state === "running" ? "No window has closed yet: figures follow within a second of the job's time." : "Nothing was recorded of this run.")); return; }
  const ratio = window[W.offered] > 0 ? window[W.achieved] / window[W.offered] : null;
  const instances = window[W.operators].reduce((sum, at) => sum + at[O.instances], 0);
  const before = decisionsUntil(time), last = before[before.length - 1];
  const late = known(story.goal_ms) && known(window[W.p99]) && window[W.p99] > story.goal_ms;
  const busiest = window[W.operators].filter((at) => story.operators[at[O.operator]].scalable).sort((a, b) => b[O.busy] - a[O.busy])[0];
  const [largest] = path ? path.parts : [];
  // A source limits the job only if nothing else is on the path.
  const isSource = (name) => story.operators.some((operator) => operator.name === name && operator.role === "source");
  const [first, ...others] = [...sharesOf(path)].sort((a, b) => isSource(a[0]) - isSource(b[0]) || b[1] - a[1]);
  const also = others.filter(([name, share]) => !isSource(name) && percent(share) === percent(first[1])).map(([name]) => name).slice(0, 3);
  const source = others.find(([name, share]) => isSource(name) && (share > first[1] || percent(share) === percent(first[1])));
  const short = isShort(window);
  // More than is offered: the lag becomes smaller.
  const catches = isCatchingUp(window);
  const queue = short || catches || isAnalysis ? null : longestQueue(window), previous = queue && windowAt(window[W.start]);
  const earlier = previous && previous !== window && longestQueue(previous), grows = queue && (!earlier || queue.seconds > 1.1 * earlier.seconds), shrinks = earlier && queue && queue.seconds < 0.9 * earlier.seconds;
  const beside = also.length ? (short ? "" : `, and as much at ${list(also)}`) : source ? `, and ${percent(source[1])} at the source ${source[0]}` : others.length && !short ? ", more than at any other operator" : "";
  const limit = isAnalysis ? largest ? [el("b", {}, `In the window until ${seconds(window[W.end])}: `), `${percent(largest.share)} of the critical paths is ${largest.text}${path.parts[1] ? `, ${percent(path.parts[1].share)} ${path.parts[1].text}` : ""}.`] : ["No path leads through this window."] : first
    ? [el("b", {}, catches ? `The job is catching up (lag ${amount(Math.round(window[W.lag]))} records, less by ${amount(window[W.achieved] - window[W.offered])}/s): ` : short ? also.length ? `${list([first[0], ...also])} are the bottleneck: ` : `${first[0]} is the bottleneck: ` : queue ? `The job keeps up, but records queue at ${queue.operator} (${amount(queue.records)}, ${latency(1000 * queue.seconds)} of its work${grows ? ", and growing" : shrinks ? ", and shrinking" : ""}). ` : "The job keeps up. "), `${percent(first[1])} of the critical path of the slowest records is ${short && !catches ? (also.length ? "at each" : "there") : `at ${first[0]}`}${beside}; the largest part is ${largest.text} (${percent(largest.share)}, ${latency(largest.mean_ms)})${time > path.at_s + 0.5 ? `, as of ${seconds(path.at_s)}` : ""}.`]
    : busiest ? [el("b", {}, `${nameOf(busiest[O.operator])} is the busiest operator`), `, ${percent(busiest[O.busy])} busy. This policy records no critical path.`] : ["Nothing is known of operators."];
  const why = last && (last.meaning || (last.parts.find((part) => part[0] === "Why") || ["", ""])[1]);
  const { diagnosis } = story, has = (column) => story.windows.some((window) => window[column] > 0);
  if (isAnalysis) {
    put(box,
      has(W.achieved) && figure("Throughput", `${amount(window[W.achieved])}/s`, `${known(ratio) ? percent(ratio) + " " : ""}of ${amount(window[W.offered])}/s offered`, known(ratio) && ratio < 0.97),
      has(W.achieved) && figure("Lag", amount(window[W.lag]), "records due, not emitted", false),
      has(W.p99) && figure("Latency p99", latency(window[W.p99]), `p50 ${latency(window[W.p50])}, by epoch`, false),
      figure("Instances", String(instances), plural(story.operators.length, "operator"), false),
      figure("Analysed", plural(story.windows.length * story.windows_combined, "window"), `until ${seconds(endOf())}${story.about.state === "running" ? ", and it goes on" : ""}`, false),
      el("div", { class: "told" }, diagnosis && el("p", { id: "diagnosis" }, el("b", {}, `Diagnosis${story.about.state === "running" ? " so far" : ""}: ${diagnosis.cause}: `), diagnosis.text), el("p", {}, limit)));
    return;
  }
  const held = heldAt(time), lower = (text) => text.charAt(0).toLowerCase() + text.slice(1), ended = (text) => text + (text.endsWith(".") ? "" : ".");
  const looks = held && (held.until_s <= time + 1e-9 ? (held.until_s > held.at_s ? `from ${seconds(held.at_s)} to ${seconds(held.until_s)}` : `at ${seconds(held.at_s)}`) : `since ${seconds(held.at_s)}`);
  const since = held ? `${lower(brief(held.why)).replace(/\.$/, "")} (${looks}).` : !last ? "none yet." : "";
  // What was wrong before, and what then: the worst first.
  const past = episodesUntil(time).slice(0, 3).map((episode) => {
    const worst = bottleneckOf(episode, time), figures = [episode.least < 0.97 && `throughput down to ${percent(episode.least)} of what was due`, episode.lag >= 1 && `lag up to ${amount(Math.round(episode.lag))} records`, episode.p99 > 0 && `p99 up to ${latency(episode.p99)}`].filter(Boolean).join(", ");
    return el("p", {}, el("b", {}, `${episode.least < 0.97 || episode.lag >= 1 ? "It did not keep up" : "It missed its latency goal"} from ${seconds(episode.from)} to ${seconds(episode.until)}: `), `${figures}${worst ? `; at its worst, at ${seconds(episode.at)}, ${worst[0]} had ${percent(worst[1])} of the critical path` : ""}.`);
  });
  const more = episodesUntil(time).length - past.length;
  put(box,
    figure("Throughput", `${amount(window[W.achieved])}/s`, `${known(ratio) ? percent(ratio) + " " : ""}of ${amount(window[W.offered])}/s offered`, known(ratio) && ratio < 0.97),
    figure("Lag", amount(Math.round(window[W.lag])), "records due, not emitted", window[W.lag] > window[W.offered]),
    figure("Latency p99", latency(window[W.p99]), `p50 ${latency(window[W.p50])}${known(story.goal_ms) ? ", goal " + latency(story.goal_ms) : ", no goal set"}`, late),
    figure("Instances", String(instances), `${plural(story.operators.length, "operator")}${window[W.leftOut] ? `, ${window[W.operators].length} of them shown` : ""}`, false),
    figure("Decisions so far", String(before.length), last ? `the last at ${seconds(last.at_s)}` : "none yet", false),
    el("div", { class: "told" }, el("p", {}, limit),
      past, more > 0 && el("p", { class: "quiet" }, `and ${plural(more, "milder time", "milder times")} before.`),
      last && el("p", {}, el("b", {}, `Last decision, ${seconds(last.at_s)}: `), last.plan || "no change", why ? `, because ${ended(lower(why))}` : ".", last.found && ` Found at that time: ${brief(last.found)}`),
      since && el("p", {}, el("b", {}, last ? "No change since: " : "No decision: "), since)));
}

const TITLES = { "falling-behind": "Falling behind", "goal-missed": "Goal missed", "goal-out-of-reach": "Goal out of reach", "budget-reached": "Budget reached", stuck: "Stuck", uneven: "Uneven load", "slow-instance": "Slow instance", skewed: "Skew", straggler: "Straggler", "external-wait": "External wait", "at-limit": "At its limit", starved: "Starved", "crowded-worker": "Crowded worker", host: "Core taken away", "hot-key": "Hot key", "hot-bin": "Hot bin", "plan-refused": "Plan rejected", "migration-interrupted": "Migration interrupted", "backing-off": "Host gave up", "unreliable-window": "Window not relied upon", "policy-disabled": "Policy disabled", paused: "Paused", held: "Held", "wrong-results": "Wrong results", "dropped-records": "Dropped records" };
const SEVERITY = { 1: "Serious", 2: "Warning", 3: "Note" };

function drawWarnings(time, goTo) {
  const begun = story.warnings.filter((warning) => warning.since_s <= time + 1e-9);
  const held = begun.filter((warning) => warningHolds(warning, time)).sort((a, b) => a.severity - b.severity || a.since_s - b.since_s);
  const over = begun.filter((warning) => !warningHolds(warning, time)).reverse();
  const specific = held.filter((warning) => SPECIFIC.includes(warning.kind)).slice(0, 3), titleOf = (warning) => `${TITLES[warning.kind] || warning.kind}${warning.operator ? " at " + warning.operator : ""}`;
  const told = (warning) => { const { at } = warningAt(warning, time); return Math.abs(at - Math.min(time, warning.until_s || time)) > 0.05 && at > warning.since_s ? ` (At ${seconds(at)}.)` : ""; };
  const line = (warning, past) => el("div", { class: `warning s${warning.severity}` + (past ? " over" : "") },
    el("span", { class: "tag" }, SEVERITY[warning.severity]),
    el("span", { class: "what" }, `${titleOf(warning)}: ${warningAt(warning, time).what}${told(warning)}`),
    el("button", { type: "button", class: "when", onclick: () => goTo(warning.since_s), "aria-label": `Go to ${seconds(warning.since_s)}` }, past && warning.until_s > warning.since_s ? `${seconds(warning.since_s)} – ${seconds(warning.until_s)}` : `since ${seconds(warning.since_s)}`),
    el("span", { class: "todo" }, !past && ["falling-behind", "goal-missed"].includes(warning.kind) && specific.length ? `See the other ${specific.length > 1 ? "warnings" : "warning"}: ${specific.map(titleOf).join("; ")}.` : warning.todo));
  const open = byId("warnings-over") && byId("warnings-over").open;
  put(byId("warning-list"), held.length ? held.slice(0, 8).map((warning) => line(warning, false)) : el("p", { class: "quiet" }, "Nothing at this time."),
    held.length > 8 && el("p", { class: "quiet" }, `and ${held.length - 8} more`),
    over.length > 0 && el("details", { id: "warnings-over", open }, el("summary", {}, `${plural(over.length, "earlier warning")}`), over.slice(0, 100).map((warning) => line(warning, true)), over.length > 100 && el("p", { class: "quiet" }, `and ${over.length - 100} more before`)));
}

// What the parts of a critical path are.
const WORDS = {
  processing: "Work: the operator's function runs.", queueing: "Queueing: records wait until the operator, or its worker, has done those before them.", release: "Held back: results are ready, and wait until their epoch is complete.",
  scheduling: "Scheduling: the worker has not yet called the operator.", serialization: "Serialization: records are made into bytes.", deserialization: "Deserialization: bytes are made into records.",
  "external-wait": "External wait: the operator's function waits for something outside the job.", migration: "Migration: state moves between instances.", network: "Network: records are on their way to another worker.",
  progress: "Progress tracking: workers tell each other which epochs are complete.", "source-delay": "Source delay: a record waits for the source to emit it, at most until its epoch closes while the job keeps up.",
  backpressure: "Backpressure: the source is held back because the operator's queue is full.", unknown: "Unknown: nothing was recorded of it.",
};

function drawPath(time) {
  const path = pathAt(time), box = byId("path-box");
  if (!path) { put(box, el("p", { class: "quiet" }, story.paths.length || story.about.is_analysis ? "None has been looked at yet at this time." : "This policy does not look at critical paths, so none are recorded: run with --policy critical-path to see them.")); return; }
  const rest = Math.max(0, 1 - path.parts.reduce((sum, part) => sum + part.share, 0));
  const bar = el("div", { class: "bar", role: "img", "aria-label": "Shares of the critical path: " + path.parts.map((part) => `${part.text} ${percent(part.share)}`).join(", ") });
  path.parts.forEach((part, place) => { const piece = el("span", { class: "c" + (place % 8) }); piece.style.width = 100 * part.share + "%"; bar.append(piece); });
  const predicts = path.parts.some((part) => known(part.predicted_ms));
  put(box, el("p", { class: "quiet" }, story.about.is_analysis ? `What the critical paths consist of, in the window until ${seconds(path.at_s)}; on the right, how much of it.` : `Where the slowest records spent their time, in the window until ${seconds(path.at_s)}${time > path.at_s + 0.5 ? `, ${seconds(time - path.at_s)} before the time shown` : ""}.`), bar,
    el("ul", { class: "parts" }, path.parts.map((part, place) => el("li", {}, el("i", { class: "c" + (place % 8) }), el("b", {}, percent(part.share)), el("span", {}, part.text), el("span", { class: "ms quiet" }, latency(part.mean_ms) + (known(part.predicted_ms) ? ` → ${latency(part.predicted_ms)}` : ""))))),
    rest > 0.01 && el("p", { class: "quiet" }, `${percent(rest)} in smaller parts.`), predicts && el("p", { class: "quiet" }, "The time after the arrow is what the policy predicts for its plan."),
    el("details", { class: "words", open: Boolean(byId("path-box").querySelector("details.words[open]")) }, el("summary", {}, "What these parts are"), el("p", { class: "quiet" }, "Epoch: the records that a source emits together; results leave when the whole epoch has passed."), [...new Set(path.parts.map((part) => part.kind))].filter((kind) => WORDS[kind]).map((kind) => el("p", { class: "quiet" }, WORDS[kind]))));
}

const STATUS = { "carried-out": "carried out", "by-hand": "by hand", "request-refused": "refused", interrupted: "interrupted", refused: "rejected", unfinished: "under way", running: "under way", done: "done" };
const valueOf = (what, value) => (!known(value) ? "–" : what.endsWith(" ms") ? latency(value) : what.endsWith(" per s") ? amount(value) + "/s" : amount(value));
const unitless = (what) => what.replace(/ (ms|per s|s)$/, "");

function drawDecisions(time, chosen, choose) {
  const box = byId("decision-list");
  if (!story.decisions.length) { put(box, el("p", { class: "quiet" }, story.about.state === "running" ? "No plan yet." : time < endOf() - 1e-9 ? "No plan yet." : "The policy made no plan in this run."), quietAt(time, true)); return; }
  const top = box.scrollTop;
  const focused = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.decision;
  const one = (decision) => {
    const here = chosen === decision.number, why = decision.meaning || (decision.parts.find((part) => part[0] === "Action") || ["", ""])[1];
    // What came later than the time shown is not told of a decision that has been made.
    const isDone = decision.done_s !== null && decision.done_s <= time + 1e-9, isKnown = known(decision.known_s) ? decision.known_s <= time + 1e-9 : time >= endOf() - 1e-9, isLater = decision.at_s > time + 1e-9;
    const shown = decision.parts.filter(([heading]) => isLater || (heading === "Action" ? isDone || decision.done_s === null : heading !== "Outcome" || isKnown));
    const body = here && el("div", { class: "body" },
      decision.compared.length > 0 && el("table", { class: "compared" }, el("thead", {}, el("tr", {}, ["", "before", "predicted", "came"].map((name) => el("th", { class: "num", scope: "col" }, name)))),
        el("tbody", {}, decision.compared.map((row) => el("tr", {}, el("th", { scope: "row" }, unitless(row.what)), [row.before, row.predicted, isKnown || isLater ? row.came : null].map((value) => el("td", { class: "num" }, valueOf(row.what, value))))))),
      el("dl", {}, shown.map(([heading, text]) => [el("dt", {}, heading), el("dd", {}, text)])));
    return el("div", { class: "decision" + (here ? " here" : "") + (decision.at_s > time + 1e-9 ? " later" : "") },
      el("button", { type: "button", "aria-expanded": String(here), "data-decision": decision.number, onclick: () => choose(here ? null : decision.number) },
        el("b", {}, String(decision.number)), el("span", { class: "num" }, seconds(decision.at_s)), el("span", { class: "plan" }, decision.plan || "no change"), el("span", { class: "tag " + decision.status }, isLater ? "later" : decision.status === "carried-out" && !isDone ? STATUS.unfinished : STATUS[decision.status] || decision.status),
        why && el("span", { class: "why" }, why.charAt(0).toUpperCase() + why.slice(1))), body);
  };
  put(box, story.decisions.map(one).reverse(), quietAt(time));
  box.scrollTop = top;
  // What was just chosen is in sight, at its beginning.
  const here = box.querySelector(".decision.here");
  if (here && chosen !== drawDecisions.last) box.scrollTop = here.offsetTop - box.offsetTop - 4;
  drawDecisions.last = chosen;
  if (focused) { const again = box.querySelector(`[data-decision="${focused}"]`); if (again) again.focus({ preventScroll: true }); }
}

function quietAt(time, open) {
  const span = story.quiet.filter((quiet) => quiet.from_s <= time + 1e-9).pop();
  if (!span) return null;
  // Of a period that goes on, what is known so far.
  const parts = span.until_s <= time + 1e-9 ? span.parts : story.held.filter((held) => held.at_s > span.from_s - 1e-9 && held.at_s <= time + 1e-9).slice(-20).map((held) => [`since ${seconds(held.at_s)}`, held.why.charAt(0).toUpperCase() + held.why.slice(1)]);
  return parts.length ? el("details", { class: "quiet-span", open: Boolean(open) }, el("summary", {}, `${seconds(span.from_s)} – ${seconds(Math.min(span.until_s, time))}: no action, and why`), el("dl", {}, parts.map(([heading, text]) => [el("dt", {}, heading), el("dd", {}, text)]))) : null;
}

function drawMigrations(time) {
  const begun = story.migrations.filter((migration) => migration.at_s <= time + 1e-9), box = byId("migration-list");
  if (!begun.length) { put(box, el("p", { class: "quiet" }, "No state has been moved until now.")); return; }
  const row = (migration) => {
    const done = migration.done_s !== null && migration.done_s <= time + 1e-9;
    const point = migration.progress[lastUntil(migration.progress, (point) => point[0], time)];
    const moved = done ? migration.moved : point ? point[1] : 0;
    const took = done ? migration.done_s - migration.at_s : time - migration.at_s;
    const meter = el("span", { class: "meter", role: "img", "aria-label": `${moved} of ${migration.bins} bins` }, el("span", {}));
    meter.firstChild.style.width = (migration.bins ? clamp(100 * moved / migration.bins, 0, 100) : done ? 100 : 0) + "%";
    const pace = took > 0 && moved > 0 ? `${amount(moved / took)} bins/s` : "–";
    return el("tr", {}, el("td", { class: "num" }, seconds(migration.at_s)), el("td", {}, migration.plan), el("td", {}, meter, ` ${amount(moved)} of ${amount(migration.bins)} bins`),
      el("td", { class: "num" }, done ? latency(took * 1000) : "under way"), el("td", { class: "num" }, pace), el("td", { class: "num" }, bytes(migration.bytes)),
      el("td", {}, el("span", { class: "tag " + (done ? migration.status : "running") }, done ? STATUS[migration.status] : "under way"), known(migration.goal_ms) ? ` paced for ${latency(migration.goal_ms)}, ${plural(migration.steps, "step")}${migration.beyond_goal ? `, ${migration.beyond_goal} expected beyond it` : ""}` : ` ${plural(migration.steps, "step")}`));
  };
  put(box, el("table", {}, el("thead", {}, el("tr", {}, [["at", 1], ["plan"], ["moved"], ["took", 1], ["pace", 1], ["state", 1], ["", 0]].map(([name, num]) => el("th", { scope: "col", class: num ? "num" : null }, name)))), el("tbody", {}, begun.reverse().slice(0, 50).map(row))),
    begun.length > 50 && el("p", { class: "quiet" }, `and ${begun.length - 50} before`));
}

const COLUMNS = [
  { name: "operator", of: (row) => nameOf(row[I.operator]), text: (row) => nameOf(row[I.operator]) },
  { name: "instance", of: (row) => row[I.instance], text: (row) => String(row[I.instance]), num: true },
  { name: "worker", of: (row) => (row[I.worker] === null ? -1 : row[I.worker]), text: (row) => (row[I.worker] === null ? "–" : String(row[I.worker])), num: true },
  { name: "load", of: (row) => row[I.busy], text: (row) => percent(row[I.busy]), num: true, heat: () => 1 },
  { name: "queue", of: (row) => row[I.queue], text: (row) => amount(row[I.queue]), num: true, heat: (rows) => Math.max(1, ...rows.map((row) => row[I.queue])) },
  { name: "processes", of: (row) => row[I.processed], text: (row) => amount(row[I.processed]) + "/s", num: true },
  { name: "speed", of: (row) => (known(row[I.speed]) ? row[I.speed] : -1), text: (row) => (known(row[I.speed]) ? amount(row[I.speed]) + "/s" : "–"), num: true },
  { name: "pauses sources", of: (row) => row[I.blocked], text: (row) => percent(row[I.blocked]), num: true, heat: () => 1 },
  { name: "waits", of: (row) => row[I.wait], text: (row) => percent(row[I.wait]), num: true, heat: () => 1 },
];
const PAGE = 50;
const table = { by: "load", down: true, page: 0 };

function drawInstances(time, chosen, choose, again) {
  const frame = instancesAt(time), box = byId("instance-table"), tools = byId("instance-tools");
  if (!frame) { put(tools); put(box, el("p", { class: "quiet" }, "No figures of single instances were recorded.")); return; }
  const number = chosen === null ? -1 : story.operators.findIndex((operator) => operator.name === chosen);
  const rows = frame.rows.filter((row) => chosen === null || row[I.operator] === number);
  const column = COLUMNS.find((column) => column.name === table.by);
  const compare = (a, b) => { const [x, y] = [column.of(a), column.of(b)]; return (x < y ? -1 : x > y ? 1 : 0) * (table.down ? -1 : 1) || a[I.operator] - b[I.operator] || a[I.instance] - b[I.instance]; };
  rows.sort(compare);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  table.page = clamp(table.page, 0, pages - 1);
  const skews = new Map();
  for (const row of frame.rows) { const of = skews.get(row[I.operator]) || { sum: 0, most: 0, count: 0 }; of.sum += row[I.busy]; of.count++; of.most = Math.max(of.most, row[I.busy]); skews.set(row[I.operator], of); }
  const skew = [...skews].filter(([, of]) => of.count > 1 && of.sum > 0).map(([operator, of]) => `${nameOf(operator)} ${(of.most / (of.sum / of.count)).toFixed(2)}×`);
  const pick = el("select", { id: "instance-of", onchange: (event) => choose(event.target.value || null) }, el("option", { value: "" }, "all operators"), [...skews.keys()].map((operator) => el("option", { value: nameOf(operator), selected: nameOf(operator) === chosen }, nameOf(operator))));
  const turn = (by) => { table.page += by; again(); };
  const focused = document.activeElement && document.activeElement.id;
  const sorted = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.column;
  put(tools, el("label", {}, "Instances of ", pick), el("span", { class: "quiet" }, `in the window until ${seconds(frame.end_s)}. Skew (largest over mean load): ${skew.join(", ") || "–"}.`),
    pages > 1 && el("span", {}, el("button", { type: "button", id: "page-before", disabled: table.page === 0, onclick: () => turn(-1) }, "‹ before"), ` page ${table.page + 1} of ${pages} `, el("button", { type: "button", id: "page-after", disabled: table.page === pages - 1, onclick: () => turn(1) }, "next ›")));
  const most = COLUMNS.map((column) => (column.heat ? column.heat(frame.rows) : 0));
  const head = (column) => el("th", { scope: "col", class: column.num ? "num" : null, "aria-sort": table.by === column.name ? (table.down ? "descending" : "ascending") : null },
    el("button", { type: "button", "data-column": column.name, onclick: () => { if (table.by === column.name) table.down = !table.down; else { table.by = column.name; table.down = Boolean(column.heat) || column.name === "processes"; } table.page = 0; again(); } }, column.name, table.by === column.name ? (table.down ? " ▾" : " ▴") : ""));
  const cell = (row) => (column, place) => {
    const made = el("td", { class: [column.num ? "num" : "", column.heat ? "heat" : ""].join(" ").trim() || null }, column.text(row));
    if (column.heat) made.style.setProperty("--heat", clamp(column.of(row) / most[place], 0, 1).toFixed(3));
    return made;
  };
  put(box, el("table", {}, el("thead", {}, el("tr", {}, COLUMNS.map(head))), el("tbody", {}, rows.slice(table.page * PAGE, (table.page + 1) * PAGE).map((row) => el("tr", {}, COLUMNS.map(cell(row)))))));
  if (focused === "instance-of" || focused === "page-before" || focused === "page-after") { const back = byId(focused); if (back) back.focus({ preventScroll: true }); }
  if (sorted) { const back = box.querySelector(`[data-column="${sorted}"]`); if (back) back.focus({ preventScroll: true }); }
}
