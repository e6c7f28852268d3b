// Steering the run, where the server lets people do that: what is asked for goes to the server with a token, and what
// comes of it is seen among the decisions.
const steering = { token: null, busy: false, made: null };

function takeToken() {
  const kept = "thalweg-token", given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (given) sessionStorage.setItem(kept, given);
    steering.token = given || sessionStorage.getItem(kept) || "";
  } catch { steering.token = given || ""; }
  // It does not stay in the address, which people copy.
  if (given) history.replaceState(null, "", location.pathname);
}

async function ask(request, told) {
  if (steering.busy) return;
  const { token, who, said } = steering.made;
  if (!token.value) { said.textContent = "The token is missing: the run printed it when it started."; token.focus(); return; }
  steering.busy = true;
  said.textContent = "Sending …";
  try {
    const answer = await fetch("/api/control", { method: "POST", cache: "no-store", headers: { "Content-Type": "application/json", "X-Thalweg-Token": token.value }, body: JSON.stringify({ ...request, who: who.value }) });
    const text = await answer.text();
    said.textContent = answer.ok ? `${told}: accepted. What came of it is the last decision, within a second of the job's time.` : `Refused: ${text.trim()}.`;
    if (answer.ok) try { sessionStorage.setItem("thalweg-token", token.value); } catch { /* It has to be given again. */ }
  } catch (why) { said.textContent = `The server does not answer: ${why}`; }
  steering.busy = false;
}

function makeSteer() {
  const field = (label, properties) => { const input = el("input", properties); return [el("label", {}, label + " ", input), input]; };
  const [tokenLabel, token] = field("Token", { type: "password", autocomplete: "off", size: 14 });
  const [whoLabel, who] = field("Your name", { type: "text", maxlength: 40, size: 12, autocomplete: "off" });
  const [planLabel, plan] = field("Plan", { type: "text", size: 22, placeholder: "count=8, flatmap=4", autocomplete: "off" });
  const [goalLabel, goal] = field("Latency goal in ms, 0 for none", { type: "number", min: 0, step: "any", style: null, size: 8 });
  token.value = steering.token;
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);
  const pause = button("", () => ask({ command: story.steered.paused_by === null ? "pause" : "resume" }, pause.textContent));
  const operator = el("select", { "aria-label": "Operator to hold or release", onchange: askToDraw });
  const hold = button("", () => ask({ command: operator.value in story.steered.held_by ? "release" : "hold", operator: operator.value }, `${hold.textContent} ${operator.value}`));
  const apply = button("Apply the plan", () => ask({ command: "apply", plan: plan.value }, "Plan"));
  const change = button("Change the goal", () => (goal.value === "" ? goal.focus() : ask({ command: "goal", goal_ms: Number(goal.value) }, "Goal")));
  for (const [input, does] of [[plan, apply], [goal, change]]) input.addEventListener("keydown", (event) => { if (event.key === "Enter") does.click(); });
  const said = el("p", { role: "status", class: "quiet" });
  put(byId("steer-box"), el("div", { class: "tools" }, tokenLabel, whoLabel), el("div", { class: "tools" }, pause, el("span", {}, operator, " ", hold), el("span", {}, planLabel, " ", apply), el("span", {}, goalLabel, " ", change)), said);
  steering.made = { token, who, pause, operator, hold, said, buttons: [pause, hold, apply, change] };
  byId("steer").hidden = false;
}

function drawSteer() {
  if (!byId("steer").dataset.on) return;
  if (steering.token === null) takeToken();
  // Who has no token sees nothing that would not work.
  if (!steering.token) return;
  if (!steering.made) makeSteer();
  const { pause, operator, hold, buttons } = steering.made;
  const names = story.operators.filter((one) => one.scalable).map((one) => one.name);
  if ([...operator.options].map((option) => option.value).join("\n") !== names.join("\n")) put(operator, names.map((name) => el("option", { value: name }, name)));
  pause.textContent = story.steered.paused_by === null ? "Pause the controller" : "Resume the controller";
  hold.textContent = operator.value in story.steered.held_by ? "Release" : "Hold";
  for (const one of buttons) one.disabled = story.about.state !== "running";
}
