// The page: one call at a time. A judgement is on disk before the next call appears.

import { showEnd, showFinished } from "./ending.js";
import { asked } from "./keys.js";
import { alarm, calm, isAlarmed, over, safely, say, sayAlso } from "./messages.js";
import * as options from "./options.js";
import { get, post, Refused } from "./server.js";
import * as sound from "./sound.js";
import { contextBeside, draw, follow, pictureOf, soundOf, usualView, view } from "./view.js";
import { described, facts, MARKS, opinions, precisionOf } from "./words.js";

const AHEAD = 3;
const CARDS_KEPT = 200;

const $ = (selector) => document.querySelector(selector);
const [stage, plot] = ["#stage", "#plot"].map($);

let survey;
let reviewer = "";
let queue = null; // { name, n_calls, is_sample }
let shown = null; // { card, position, picture }
let turn = 0; // of what is being shown; what comes late for an earlier one is not shown
let isComing = false; // whether a call is on its way that is not shown yet
let isSaving = false;
let isTooEarly = false; // whether somebody judged, or took back, what they could not see yet
let hasOthers = false; // has anybody else judged anything
let judgedAt_ms = [];
let estimatedAt_ms = 0;
const cards = new Map(); // by position

async function fetchCards(from) {
  const mine = queue;
  const { cards: news } = await get(`queues/${mine.name}?from=${from}&count=${AHEAD + 1}`);
  if (mine !== queue) return;
  for (const card of news) {
    cards.delete(card.position);
    cards.set(card.position, card);
  }
  while (cards.size > CARDS_KEPT) cards.delete(cards.keys().next().value);
}

// Showing

const isVisible = () => shown && !isComing && !$("#work").hidden;

/** Bring a call of the list to the page, with its picture at once. */
async function go(position) {
  const mine = ++turn;
  isComing = true;
  stage.dataset.ready = "false";
  hush();
  view.pan_s = 0;
  $("#work").hidden = false;
  $("#end").hidden = true;
  await safely(async () => {
    if (!cards.has(position)) await fetchCards(position);
    if (mine !== turn) return;
    const card = cards.get(position);
    const picture = await pictureOf(card);
    if (mine !== turn) return;
    isComing = false;
    shown = { card, position, picture };
    draw(shown.card, shown.picture, survey.rate_hz);
    tell();
    if (isTooEarly) sayAlso("what you pressed before this call was here did nothing");
    isTooEarly = false;
    if ($("#autoplay").checked) play();
    ahead(position).catch(alarm);
  }, () => go(position));
}

/** Fetch what comes next, and see whether anything has been said meanwhile. */
async function ahead(position) {
  await fetchCards(position);
  if (shown?.position !== position || !cards.has(position)) return;
  shown.card = cards.get(position);
  tell();
  for (let next = position + 1; next <= position + AHEAD; next += 1) {
    if (!cards.has(next)) break;
    await pictureOf(cards.get(next));
    if ($("#autoplay").checked) soundOf(cards.get(next));
  }
}

/** Show the same call with another view. */
async function look() {
  if (!isVisible()) return;
  const mine = ++turn;
  stage.dataset.ready = "false";
  await safely(async () => {
    const picture = await pictureOf(shown.card, view.pan_s);
    if (mine !== turn) return;
    shown.picture = picture;
    draw(shown.card, shown.picture, survey.rate_hz);
    ahead(shown.position).catch(alarm);
  }, look);
}

function tell() {
  const { card, position } = shown;
  $("#place").textContent = `${(position + 1).toLocaleString("en")} of ${queue.n_calls.toLocaleString("en")}`;
  document.title = `${position + 1} of ${queue.n_calls} · ${survey.title} · whalescan review`;
  $("#facts").replaceChildren(...described(facts(card)));
  const others = opinions(card.others);
  const own = card.verdict === "unreviewed" ? [] : [`You: ${MARKS[card.verdict]}`];
  $("#opinions").textContent = [...own, ...others].join("   ");
  $("[data-do=others]").hidden = !hasOthers || others.length > 0 || card.verdict !== "unreviewed";
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", button.dataset.verdict === card.verdict);
  }
}

async function count() {
  const isDue = queue.is_sample && !survey.is_blind && Date.now() > estimatedAt_ms;
  const began_ms = Date.now();
  const { n_calls, counts, estimates, reviewers } = await get(`queues/${queue.name}/progress${isDue ? "?estimates" : ""}`);
  hasOthers = reviewers.some((name) => name !== reviewer);
  const n_judged = n_calls - counts.unreviewed;
  Object.assign($("#bar"), { max: n_calls || 1, value: n_judged });
  $("#bar").title = `${n_judged} of ${n_calls} judged`;
  $("#tally").textContent = `${counts.yes} ✓  ${counts.no} ✗  ${counts.maybe} ?`;
  if (isDue) {
    estimatedAt_ms = Date.now() + 10 * (Date.now() - began_ms);
    $("#estimate").textContent = estimates ? precisionOf(estimates) : "";
  }
}

function pace() {
  const now_ms = Date.now();
  judgedAt_ms = [...judgedAt_ms.filter((at) => now_ms - at < 60_000), now_ms];
  const n = judgedAt_ms.length;
  $("#pace").textContent = n < 5 ? "" : `${Math.round(((n - 1) / (now_ms - judgedAt_ms[0])) * 60_000)} a minute`;
}

// Judging

const isReady = () => isVisible() && !isSaving && !isAlarmed();

async function judge(verdict) {
  if (!isReady()) {
    isTooEarly ||= isSaving || isComing;
    return;
  }
  isSaving = true;
  const { card, position } = shown;
  const mine = queue;
  const saved = await safely(() => post("judge", { number: card.number, verdict, reviewer }), () => judge(verdict));
  isSaving = false;
  if (!saved || mine !== queue) return;
  isComing = true;
  stage.dataset.ready = "false";
  cards.set(position, { ...saved.card, position });
  pace();
  const { score, others } = saved.card;
  const revealed = survey.is_blind && score !== null ? [`score ${score.toFixed(2)}`] : [];
  say([`Saved: ${verdict}`, ...revealed, ...opinions(others)].join(", "));
  await forward(true);
  count().catch(alarm);
}

async function takeBack() {
  isTooEarly ||= isSaving;
  if (isSaving || !queue || isAlarmed()) return;
  isSaving = true;
  const taken = await safely(() => post("take-back", { reviewer, queue: queue.name }), takeBack);
  isSaving = false;
  if (!taken) return;
  const { detection_id, card } = taken;
  if (!detection_id) return say("There is nothing of yours to take back");
  judgedAt_ms.pop();
  if (card && card.position !== null) {
    cards.set(card.position, card);
    say("Taken back: judge this call anew");
    await go(card.position);
  } else {
    say(`Taken back: what you said of ${detection_id}, which is not in this list`);
  }
  count().catch(alarm);
}

/** To the next call. Of a sample none may be left out, so who has judged one comes to the next that is not judged. */
async function forward(isJudged = false) {
  const next = shown.position + 1;
  if (!queue.is_sample || !isJudged || cards.get(next)?.verdict === "unreviewed") {
    return next < queue.n_calls ? go(next) : end();
  }
  return toNextOpen();
}

async function toNextOpen() {
  const mine = ++turn;
  const after = shown?.position ?? -1;
  const open = await safely(() => get(`queues/${queue.name}/open?after=${after}`), toNextOpen);
  if (!open || mine !== turn) return undefined;
  return open.position === null ? end() : go(open.position);
}

async function end() {
  const mine = ++turn;
  const progress = await safely(() => get(`queues/${queue.name}/progress?estimates`), end);
  if (!progress || mine !== turn) return;
  isTooEarly = false;
  hush();
  showEnd(progress);
}

async function begin(choice) {
  const name = survey.reviewer || choice.reviewer.trim();
  const made = await post("queues", { ...choice, reviewer: name });
  [reviewer, queue, shown, isTooEarly] = [name, made, null, false];
  calm();
  if (!survey.reviewer) {
    sessionStorage.setItem("reviewer", name);
    localStorage.setItem("reviewer", name);
  }
  $("#who").textContent = name;
  cards.clear();
  estimatedAt_ms = 0;
  $("#estimate").textContent = $("#place").textContent = "";
  $("#work").hidden = false;
  count().catch(alarm);
  await (made.n_calls ? go(0) : end());
}

// Listening

async function play() {
  if ($("[data-do=play]").getAttribute("aria-pressed") === "true") {
    return hush();
  }
  $("[data-do=play]").setAttribute("aria-pressed", "true");
  try {
    const speed = Number($("#speed").value);
    await sound.play(soundOf(shown.card, view.pan_s), speed, (at_s) => follow(shown.card, at_s));
  } catch (error) {
    hush();
    if (!(error instanceof Refused)) return alarm(error, play);
    say(error.message);
  }
  return undefined;
}

function hush() {
  sound.stop();
  follow(shown?.card, null);
}

function speed(by) {
  const select = $("#speed");
  select.selectedIndex = Math.min(Math.max(select.selectedIndex + by, 0), select.length - 1);
  hush();
}

// What buttons and keys do

function change(news) {
  if (!isVisible()) return;
  hush();
  Object.assign(view, news);
  look();
}

async function others() {
  if (!shown || survey.is_blind) return;
  const answer = await safely(() => get(`calls/${shown.card.number}?${new URLSearchParams({ reviewer })}`), others);
  if (!answer) return;
  Object.assign(shown.card, { others: answer.card.others });
  tell();
  if (!Object.keys(answer.card.others).length) say("Nobody else has judged this call");
}

const ACTS = {
  undo: takeBack,
  next: () => isReady() && forward(),
  previous: () => isReady() && shown.position > 0 && go(shown.position - 1),
  play: () => isReady() && play(),
  earlier: () => change({ pan_s: view.pan_s - view.context_s / 4 }),
  later: () => change({ pan_s: view.pan_s + view.context_s / 4 }),
  closer: () => change({ context_s: contextBeside(-1) }),
  wider: () => change({ context_s: contextBeside(1) }),
  box: () => change({ withBox: !view.withBox }),
  reset: () => change(usualView()),
  slower: () => speed(-1),
  faster: () => speed(1),
  others,
  options: () => options.ask(begin, false),
  keys: () => $("#keys").showModal(),
};

function band(text) {
  const [low_hz, high_hz] = text.split("-").map(Number);
  change({ low_hz, high_hz });
}

function act({ verdict, band: text, name }) {
  if (verdict) judge(verdict);
  else if (text) band(text);
  else if (shown || name === "options" || name === "keys") ACTS[name]();
}

function onKey(event) {
  if (event.repeat && event.key === "Enter") event.preventDefault(); // it would press the button that has the focus again
  const wish = $("dialog[open]") ? null : asked(event);
  if (!wish) return;
  event.preventDefault();
  act(wish);
}

function onClick(event) {
  const button = event.target.closest("button");
  if (!button) return;
  const { verdict, do: name, band: text } = button.dataset;
  if (verdict && event.detail > 1) say("The second click of a double click judges nothing");
  else if (verdict || name || text) act({ verdict, name, band: text });
  if (event.detail && !button.closest("dialog")) button.blur(); // else the space bar would press it once more
  if ("close" in button.dataset) button.closest("dialog").close();
}

let wheeled = 0;
function onWheel(event) {
  if (event.ctrlKey) return;
  event.preventDefault();
  wheeled += event.deltaY;
  if (Math.abs(wheeled) < 60) return;
  ACTS[wheeled < 0 ? "closer" : "wider"]();
  wheeled = 0;
}

async function finish() {
  try {
    await post("finish", {});
  } catch (error) {
    $("#finish-problem").textContent = error.message;
    return;
  }
  $("#finish").close();
  hush();
  over();
  showFinished();
  document.removeEventListener("keydown", onKey);
}

async function start() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  plot.addEventListener("wheel", onWheel, { passive: false });
  $("#open-options").onclick = $("#end-options").onclick = ACTS.options;
  $("#open-keys").onclick = ACTS.keys;
  $("#open-finish").onclick = $("#end-finish").onclick = () => $("#finish").showModal();
  $("#finish-now").onclick = finish;
  $("#end-back").onclick = () => go(0);
  $("#end-open").onclick = toNextOpen;
  for (const field of [$("#speed"), $("#banded"), $("#autoplay")]) {
    field.addEventListener("change", () => {
      hush();
      field.blur();
    });
  }
  survey = await get("survey");
  $("#title").textContent = survey.title;
  $("#key-others").hidden = survey.is_blind;
  const wide = matchMedia("(min-width: 720px)");
  const unfold = () => ($("#tools").open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
  const known = survey.reviewer || sessionStorage.getItem("reviewer");
  options.prepare(survey, known || localStorage.getItem("reviewer") || "");
  new ResizeObserver(look).observe(plot);
  if (known) await begin(options.chosen());
  else options.ask(begin, true);
}

start().catch(alarm);
