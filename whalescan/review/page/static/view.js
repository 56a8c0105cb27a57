// What is seen and heard of a call: which seconds, which band, the picture under its axes, and the cursor over it.

import { clock, drawAxes, scales } from "./axes.js";
import { Kept } from "./kept.js";
import { excerpt, Refused } from "./server.js";

const CONTEXTS_S = [2, 3, 4, 6, 8, 10, 15, 20, 30, 45, 60];
const VIEW = { pan_s: 0, low_hz: 0, high_hz: 500, withBox: true };
const USUAL_S = [[600, 6], [1600, 8], [Infinity, 12]]; // up to so wide a page shows so many seconds
const LARGEST_PX = { width: 1280, height: 480 };

const $ = (selector) => document.querySelector(selector);
const [stage, plot, axes, cursor, note] = ["#stage", "#plot", "#axes g", "#cursor", "#note"].map($);
const pictures = new Kept(24, loadPicture, (picture) => picture.image && URL.revokeObjectURL(picture.image.src));
const sounds = new Kept(8, excerpt);

export const view = usualView();

/** What is shown at the beginning. */
export function usualView() {
  return { ...VIEW, context_s: USUAL_S.find(([width_px]) => innerWidth <= width_px)[1] };
}

async function loadPicture(path) {
  try {
    const { content, begin_s, end_s } = await excerpt(path);
    const image = new Image();
    image.alt = "";
    image.src = URL.createObjectURL(content);
    await image.decode();
    return { image, begin_s, end_s };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    pictures.forget(path); // a disk may come back
    return { problem: error.message };
  }
}

function spanOf(card, pan_s = 0) {
  const middle_s = (card.begin_s + card.end_s) / 2 + pan_s;
  const [begin_s, end_s] = [middle_s - view.context_s / 2, middle_s + view.context_s / 2];
  return { begin_s, end_s, low_hz: view.low_hz, high_hz: view.high_hz };
}

function pathOf(kind, card, pan_s, more) {
  const { begin_s, end_s, low_hz, high_hz } = spanOf(card, pan_s);
  const view_of = { begin: begin_s.toFixed(3), end: end_s.toFixed(3), low: low_hz, high: high_hz, ...more };
  return `calls/${card.number}/${kind}?${new URLSearchParams(view_of)}`;
}

/** The picture of a call, in the size of the page; of the one that is shown, with `view.pan_s`. */
export function pictureOf(card, pan_s = 0) {
  const { width, height } = scales(view, plot.getBoundingClientRect());
  const wanted = (px, step, most) => Math.min(Math.ceil((px * Math.min(devicePixelRatio, 2)) / step) * step, most);
  const size = { width: wanted(width, 80, LARGEST_PX.width), height: wanted(height, 40, LARGEST_PX.height) };
  return pictures.at(pathOf("picture", card, pan_s, size));
}

/** The sound of a call, in the same seconds as its picture. */
export function soundOf(card, pan_s = 0) {
  const band = $("#banded").checked ? {} : { low: 0, high: 1e6 };
  return sounds.at(pathOf("sound", card, pan_s, { ...band, speed: $("#speed").value }));
}

/** Show a call with its picture, or with the note that there is none. */
export function draw(card, picture, rate_hz) {
  const span = spanOf(card, view.pan_s);
  const size = plot.getBoundingClientRect();
  const { x, y, top, height } = scales(span, size);
  plot.querySelector("img")?.remove();
  note.hidden = !picture.problem;
  note.textContent = picture.problem ? `${picture.problem}. The call can be judged all the same.` : "";
  if (picture.image) {
    const highest = y(Math.min(span.high_hz, rate_hz / 2));
    Object.assign(picture.image.style, {
      left: `${x(picture.begin_s)}px`,
      width: `${x(picture.end_s) - x(picture.begin_s)}px`,
      top: `${highest}px`,
      height: `${top + height - highest}px`,
    });
    plot.prepend(picture.image);
  }
  drawAxes(axes, span, size, card, view.withBox);
  $("#axes-title").textContent =
    `Spectrogram, ${clock(span.begin_s, 1)} to ${clock(span.end_s, 1)} of ${card.recording}, ` +
    `${span.low_hz} to ${span.high_hz} Hz; the call is at ${clock(card.begin_s, 1)}, ` +
    `${Math.round(card.low_hz)} to ${Math.round(card.high_hz)} Hz`;
  $("#context").textContent = `${view.context_s} s`;
  for (const button of document.querySelectorAll("[data-band]")) {
    button.setAttribute("aria-pressed", button.dataset.band === `${view.low_hz}-${view.high_hz}`);
  }
  $("[data-do=box]").setAttribute("aria-pressed", view.withBox);
  stage.dataset.call = card.number;
  stage.dataset.ready = "true";
}

/** Show which second of the recording sounds; none for null. */
export function follow(card, at_s) {
  $("[data-do=play]").setAttribute("aria-pressed", at_s !== null);
  cursor.hidden = at_s === null;
  if (at_s === null) return;
  const { x, top, height } = scales(spanOf(card, view.pan_s), plot.getBoundingClientRect());
  Object.assign(cursor.style, { top: `${top}px`, height: `${height}px`, transform: `translateX(${x(at_s)}px)` });
}

/** The next longer or shorter stretch of time, in seconds. */
export function contextBeside(by) {
  return CONTEXTS_S[Math.min(Math.max(CONTEXTS_S.indexOf(view.context_s) + by, 0), CONTEXTS_S.length - 1)];
}
