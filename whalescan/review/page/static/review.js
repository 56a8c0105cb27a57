// The review page: one detection at a time. A review is saved before the next detection appears.

import * as audio from "./audio.js";
import { showEnd, showFinished } from "./end-screen.js";
import { commandOf } from "./keys.js";
import { appendStatus, clearError, hasError, ignoreErrors, showError, showStatus, withErrorShown } from "./messages.js";
import * as options from "./options.js";
import { get, post, RequestRejected } from "./server.js";
import { descriptionElements, detectionProperties, precisionText, REVIEW_TEXT, reviewTexts } from "./text.js";
import { defaultView, draw, loadAudioOf, loadSpectrogramOf, moveCursor, neighbouringLength, view } from "./view.js";

const N_PREFETCHED = 3;
const N_CACHED_ITEMS = 200;

const $ = (selector) => document.querySelector(selector);
const [stage, plot] = ["#stage", "#plot"].map($);

let survey;
let reviewer = "";
let queue = null; // { name, n_detections, is_sample }
let shown = null; // { item, position, spectrogram }
let latestDisplay = 0; // counts display requests; a response to an earlier one is dropped
let isLoading = false; // whether another detection is on its way
let isSaving = false;
let wasTooEarly = false; // whether a key was pressed for a detection that was not visible yet
let hasOtherReviewers = false;
let reviewTimes_ms = [];
let nextEstimate_ms = 0;
const items = new Map(); // by position in the queue

async function fetchItems(from) {
  const requestedQueue = queue;
  const { items: fetched } = await get(`queues/${requestedQueue.name}?from=${from}&count=${N_PREFETCHED + 1}`);
  if (requestedQueue !== queue) return;
  for (const item of fetched) {
    items.delete(item.position);
    items.set(item.position, item);
  }
  while (items.size > N_CACHED_ITEMS) items.delete(items.keys().next().value);
}

// Display

const isVisible = () => shown && !isLoading && !$("#work").hidden;

/** Show the detection at a position of the queue, together with its spectrogram. */
async function showPosition(position) {
  const display = ++latestDisplay;
  isLoading = true;
  stage.dataset.ready = "false";
  stopAudio();
  view.pan_s = 0;
  $("#work").hidden = false;
  $("#end").hidden = true;
  await withErrorShown(async () => {
    if (!items.has(position)) await fetchItems(position);
    if (display !== latestDisplay) return;
    const item = items.get(position);
    const spectrogram = await loadSpectrogramOf(item);
    if (display !== latestDisplay) return;
    isLoading = false;
    shown = { item, position, spectrogram };
    draw(shown.item, shown.spectrogram, survey.rate_hz);
    showDetails();
    if (wasTooEarly) appendStatus("keys pressed before this detection was visible were ignored");
    wasTooEarly = false;
    if ($("#autoplay").checked) play();
    prefetch(position).catch(showError);
  }, () => showPosition(position));
}

/** Fetch the next detections, and new reviews of the current one. */
async function prefetch(position) {
  await fetchItems(position);
  if (shown?.position !== position || !items.has(position)) return;
  shown.item = items.get(position);
  showDetails();
  for (let next = position + 1; next <= position + N_PREFETCHED; next += 1) {
    if (!items.has(next)) break;
    await loadSpectrogramOf(items.get(next));
    if ($("#autoplay").checked) loadAudioOf(items.get(next));
  }
}

/** Show the current detection with a changed view. */
async function redraw() {
  if (!isVisible()) return;
  const display = ++latestDisplay;
  stage.dataset.ready = "false";
  await withErrorShown(async () => {
    const spectrogram = await loadSpectrogramOf(shown.item, view.pan_s);
    if (display !== latestDisplay) return;
    shown.spectrogram = spectrogram;
    draw(shown.item, shown.spectrogram, survey.rate_hz);
    prefetch(shown.position).catch(showError);
  }, redraw);
}

function showDetails() {
  const { item, position } = shown;
  $("#position").textContent = `${(position + 1).toLocaleString("en")} of ${queue.n_detections.toLocaleString("en")}`;
  document.title = `${position + 1} of ${queue.n_detections} · ${survey.title} · whalescan review`;
  $("#properties").replaceChildren(...descriptionElements(detectionProperties(item)));
  const others = reviewTexts(item.other_reviews);
  const own = item.review === "unreviewed" ? [] : [`You: ${REVIEW_TEXT[item.review]}`];
  $("#reviews").textContent = [...own, ...others].join("   ");
  $("[data-action=others]").hidden = !hasOtherReviewers || others.length > 0 || item.review !== "unreviewed";
  for (const button of document.querySelectorAll("[data-review]")) {
    button.setAttribute("aria-pressed", button.dataset.review === item.review);
  }
}

async function updateProgress() {
  const withEstimate = queue.is_sample && !survey.is_blind && Date.now() > nextEstimate_ms;
  const started_ms = Date.now();
  const path = `queues/${queue.name}/progress${withEstimate ? "?estimate" : ""}`;
  const { n_detections, counts, estimate, reviewers } = await get(path);
  hasOtherReviewers = reviewers.some((name) => name !== reviewer);
  const n_reviewed = n_detections - counts.unreviewed;
  Object.assign($("#bar"), { max: n_detections || 1, value: n_reviewed });
  $("#bar").title = `${n_reviewed} of ${n_detections} reviewed`;
  $("#counts").textContent = `${counts.yes} ✓  ${counts.no} ✗  ${counts.maybe} ?`;
  if (withEstimate) {
    nextEstimate_ms = Date.now() + 10 * (Date.now() - started_ms);
    $("#estimate").textContent = estimate ? precisionText(estimate) : "";
  }
}

function updatePace() {
  const now_ms = Date.now();
  reviewTimes_ms = [...reviewTimes_ms.filter((at_ms) => now_ms - at_ms < 60_000), now_ms];
  const n = reviewTimes_ms.length;
  $("#pace").textContent = n < 5 ? "" : `${Math.round(((n - 1) / (now_ms - reviewTimes_ms[0])) * 60_000)} per minute`;
}

// Reviews

const canReview = () => isVisible() && !isSaving && !hasError();

async function saveReview(review) {
  if (!canReview()) {
    wasTooEarly ||= isSaving || isLoading;
    return;
  }
  isSaving = true;
  const { item, position } = shown;
  const reviewedQueue = queue;
  const saved = await withErrorShown(
    () => post("reviews", { index: item.index, review, reviewer }),
    () => saveReview(review),
  );
  isSaving = false;
  if (!saved || reviewedQueue !== queue) return;
  isLoading = true;
  stage.dataset.ready = "false";
  items.set(position, { ...saved.item, position });
  updatePace();
  const { score, other_reviews } = saved.item;
  const revealed = survey.is_blind && score !== null ? [`score ${score.toFixed(2)}`] : [];
  showStatus([`Saved: ${REVIEW_TEXT[review]}`, ...revealed, ...reviewTexts(other_reviews)].join(", "));
  await showNext(true);
  updateProgress().catch(showError);
}

async function undo() {
  wasTooEarly ||= isSaving;
  if (isSaving || !queue || hasError()) return;
  isSaving = true;
  const undone = await withErrorShown(() => post("undo", { reviewer, queue: queue.name }), undo);
  isSaving = false;
  if (!undone) return;
  const { detection_id, item } = undone;
  if (!detection_id) return showStatus("Nothing to undo");
  reviewTimes_ms.pop();
  if (item && item.position !== null) {
    items.set(item.position, item);
    showStatus("Review undone");
    await showPosition(item.position);
  } else {
    showStatus(`Review undone: ${detection_id}, which is not in this queue`);
  }
  updateProgress().catch(showError);
}

/** Show the next detection. A sample must be complete, so after a review the next unreviewed detection follows there. */
async function showNext(afterReview = false) {
  const next = shown.position + 1;
  if (!queue.is_sample || !afterReview || items.get(next)?.review === "unreviewed") {
    return next < queue.n_detections ? showPosition(next) : endQueue();
  }
  return showNextUnreviewed();
}

async function showNextUnreviewed() {
  const display = ++latestDisplay;
  const after = shown?.position ?? -1;
  const path = `queues/${queue.name}/next-unreviewed?after=${after}`;
  const next = await withErrorShown(() => get(path), showNextUnreviewed);
  if (!next || display !== latestDisplay) return undefined;
  return next.position === null ? endQueue() : showPosition(next.position);
}

async function endQueue() {
  const display = ++latestDisplay;
  const progress = await withErrorShown(() => get(`queues/${queue.name}/progress?estimate`), endQueue);
  if (!progress || display !== latestDisplay) return;
  wasTooEarly = false;
  stopAudio();
  showEnd(progress);
}

async function startQueue(values) {
  const name = survey.reviewer || values.reviewer.trim();
  const created = await post("queues", { ...values, reviewer: name });
  [reviewer, queue, shown, wasTooEarly] = [name, created, null, false];
  clearError();
  if (!survey.reviewer) {
    sessionStorage.setItem("reviewer", name);
    localStorage.setItem("reviewer", name);
  }
  $("#reviewer-name").textContent = name;
  items.clear();
  nextEstimate_ms = 0;
  $("#estimate").textContent = $("#position").textContent = "";
  $("#work").hidden = false;
  updateProgress().catch(showError);
  await (created.n_detections ? showPosition(0) : endQueue());
}

// Playback

async function play() {
  if ($("[data-action=play]").getAttribute("aria-pressed") === "true") {
    return stopAudio();
  }
  $("[data-action=play]").setAttribute("aria-pressed", "true");
  try {
    const speed = Number($("#speed").value);
    await audio.play(loadAudioOf(shown.item, view.pan_s), speed, (at_s) => moveCursor(shown.item, at_s));
  } catch (error) {
    stopAudio();
    if (!(error instanceof RequestRejected)) return showError(error, play);
    showStatus(error.message);
  }
  return undefined;
}

function stopAudio() {
  audio.stop();
  moveCursor(shown?.item, null);
}

function changeSpeed(step) {
  const select = $("#speed");
  select.selectedIndex = Math.min(Math.max(select.selectedIndex + step, 0), select.length - 1);
  stopAudio();
}

// Buttons and keys

function changeView(changes) {
  if (!isVisible()) return;
  stopAudio();
  Object.assign(view, changes);
  redraw();
}

async function showOthers() {
  if (!shown || survey.is_blind) return;
  const path = `detections/${shown.item.index}?${new URLSearchParams({ reviewer })}`;
  const response = await withErrorShown(() => get(path), showOthers);
  if (!response) return;
  Object.assign(shown.item, { other_reviews: response.item.other_reviews });
  showDetails();
  if (!Object.keys(response.item.other_reviews).length) showStatus("No other reviews of this detection");
}

const ACTIONS = {
  undo,
  next: () => canReview() && showNext(),
  previous: () => canReview() && shown.position > 0 && showPosition(shown.position - 1),
  play: () => canReview() && play(),
  earlier: () => changeView({ pan_s: view.pan_s - view.length_s / 4 }),
  later: () => changeView({ pan_s: view.pan_s + view.length_s / 4 }),
  "zoom-in": () => changeView({ length_s: neighbouringLength(-1) }),
  "zoom-out": () => changeView({ length_s: neighbouringLength(1) }),
  box: () => changeView({ withBox: !view.withBox }),
  reset: () => changeView(defaultView()),
  slower: () => changeSpeed(-1),
  faster: () => changeSpeed(1),
  others: showOthers,
  options: () => options.openDialog(startQueue, false),
  keys: () => $("#keys").showModal(),
};

function changeBand(text) {
  const [low_hz, high_hz] = text.split("-").map(Number);
  changeView({ low_hz, high_hz });
}

function run({ review, band, action }) {
  if (review) saveReview(review);
  else if (band) changeBand(band);
  else if (shown || action === "options" || action === "keys") ACTIONS[action]();
}

function onKey(event) {
  if (event.repeat && event.key === "Enter") event.preventDefault(); // it would press the focused button again
  const command = $("dialog[open]") ? null : commandOf(event);
  if (!command) return;
  event.preventDefault();
  run(command);
}

function onClick(event) {
  const button = event.target.closest("button");
  if (!button) return;
  const { review, action, band } = button.dataset;
  if (review && event.detail > 1) showStatus("Second click of a double click ignored");
  else if (review || action || band) run({ review, action, band });
  if (event.detail && !button.closest("dialog")) button.blur(); // the space bar would press it again
  if ("close" in button.dataset) button.closest("dialog").close();
}

let wheelDistance = 0;
function onWheel(event) {
  if (event.ctrlKey) return;
  event.preventDefault();
  wheelDistance += event.deltaY;
  if (Math.abs(wheelDistance) < 60) return;
  ACTIONS[wheelDistance < 0 ? "zoom-in" : "zoom-out"]();
  wheelDistance = 0;
}

async function finish() {
  try {
    await post("finish", {});
  } catch (error) {
    $("#finish-error").textContent = error.message;
    return;
  }
  $("#finish").close();
  stopAudio();
  ignoreErrors();
  showFinished();
  document.removeEventListener("keydown", onKey);
}

async function start() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  plot.addEventListener("wheel", onWheel, { passive: false });
  $("#open-options").onclick = $("#end-options").onclick = ACTIONS.options;
  $("#open-keys").onclick = ACTIONS.keys;
  $("#open-finish").onclick = $("#end-finish").onclick = () => $("#finish").showModal();
  $("#finish-now").onclick = finish;
  $("#end-restart").onclick = () => showPosition(0);
  $("#end-unreviewed").onclick = showNextUnreviewed;
  for (const field of [$("#speed"), $("#band-limited"), $("#autoplay")]) {
    field.addEventListener("change", () => {
      stopAudio();
      field.blur();
    });
  }
  survey = await get("survey");
  $("#title").textContent = survey.title;
  $("#key-others").hidden = survey.is_blind;
  const wide = matchMedia("(min-width: 720px)");
  const openTools = () => ($("#tools").open = wide.matches);
  wide.addEventListener("change", openTools);
  openTools();
  const known = survey.reviewer || sessionStorage.getItem("reviewer");
  options.fillForm(survey, known || localStorage.getItem("reviewer") || "");
  new ResizeObserver(redraw).observe(plot);
  if (known) await startQueue(options.formValues());
  else options.openDialog(startQueue, true);
}

start().catch(showError);
