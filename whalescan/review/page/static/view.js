// Spectrogram of a detection: time span, band, image with axes, and playback cursor.

import { clock, drawAxes, scales } from "./axes.js";
import { PromiseCache } from "./cache.js";
import { getExcerpt, RequestRejected } from "./server.js";

const LENGTHS_S = [2, 3, 4, 6, 8, 10, 15, 20, 30, 45, 60];
const DEFAULT_VIEW = { pan_s: 0, low_hz: 0, high_hz: 500, withBox: true };
const DEFAULT_LENGTHS_S = [[600, 6], [1600, 8], [Infinity, 12]]; // by the largest width of the page in pixels
const LARGEST_IMAGE_PX = { width: 1280, height: 480 };

const $ = (selector) => document.querySelector(selector);
const [stage, plot, axes, cursor, note] = ["#stage", "#plot", "#axes g", "#cursor", "#note"].map($);
const spectrograms = new PromiseCache(24, loadSpectrogram, ({ image }) => image && URL.revokeObjectURL(image.src));
const audioExcerpts = new PromiseCache(8, getExcerpt);

export const view = defaultView();

/** The initial view, for the width of the page. */
export function defaultView() {
  return { ...DEFAULT_VIEW, length_s: DEFAULT_LENGTHS_S.find(([width_px]) => innerWidth <= width_px)[1] };
}

async function loadSpectrogram(path) {
  try {
    const { content, begin_s, end_s } = await getExcerpt(path);
    const image = new Image();
    image.alt = "";
    image.src = URL.createObjectURL(content);
    await image.decode();
    return { image, begin_s, end_s };
  } catch (error) {
    if (!(error instanceof RequestRejected)) throw error;
    spectrograms.delete(path); // the recording may be available again later
    return { error: error.message };
  }
}

function extentOf(item, pan_s = 0) {
  const middle_s = (item.begin_s + item.end_s) / 2 + pan_s;
  const [begin_s, end_s] = [middle_s - view.length_s / 2, middle_s + view.length_s / 2];
  return { begin_s, end_s, low_hz: view.low_hz, high_hz: view.high_hz };
}

function pathOf(kind, item, pan_s, parameters) {
  const { begin_s, end_s, low_hz, high_hz } = extentOf(item, pan_s);
  const query = { begin: begin_s.toFixed(3), end: end_s.toFixed(3), low: low_hz, high: high_hz, ...parameters };
  return `detections/${item.index}/${kind}?${new URLSearchParams(query)}`;
}

/** The spectrogram of a detection in the size of the page, shifted by `pan_s`. */
export function loadSpectrogramOf(item, pan_s = 0) {
  const { width, height } = scales(view, plot.getBoundingClientRect());
  const rounded = (px, step, most) => Math.min(Math.ceil((px * Math.min(devicePixelRatio, 2)) / step) * step, most);
  const size = {
    width: rounded(width, 80, LARGEST_IMAGE_PX.width),
    height: rounded(height, 40, LARGEST_IMAGE_PX.height),
  };
  return spectrograms.get(pathOf("spectrogram", item, pan_s, size));
}

/** The audio of a detection, over the same time span as its spectrogram. */
export function loadAudioOf(item, pan_s = 0) {
  const band = $("#band-limited").checked ? {} : { low: 0, high: 1e6 };
  return audioExcerpts.get(pathOf("audio", item, pan_s, { ...band, speed: $("#speed").value }));
}

/** Draw a detection's spectrogram with axes, or the reason why there is none. */
export function draw(item, spectrogram, rate_hz) {
  const extent = extentOf(item, view.pan_s);
  const size = plot.getBoundingClientRect();
  const { x, y, top, height } = scales(extent, size);
  plot.querySelector("img")?.remove();
  note.hidden = !spectrogram.error;
  note.textContent = spectrogram.error ? `${spectrogram.error}. The detection can still be reviewed.` : "";
  if (spectrogram.image) {
    const highest = y(Math.min(extent.high_hz, rate_hz / 2));
    Object.assign(spectrogram.image.style, {
      left: `${x(spectrogram.begin_s)}px`,
      width: `${x(spectrogram.end_s) - x(spectrogram.begin_s)}px`,
      top: `${highest}px`,
      height: `${top + height - highest}px`,
    });
    plot.prepend(spectrogram.image);
  }
  drawAxes(axes, extent, size, item, view.withBox);
  $("#axes-title").textContent =
    `Spectrogram, ${clock(extent.begin_s, 1)} to ${clock(extent.end_s, 1)} of ${item.recording}, ` +
    `${extent.low_hz} to ${extent.high_hz} Hz; detection at ${clock(item.begin_s, 1)}, ` +
    `${Math.round(item.low_hz)} to ${Math.round(item.high_hz)} Hz`;
  $("#length").textContent = `${view.length_s} s`;
  for (const button of document.querySelectorAll("[data-band]")) {
    button.setAttribute("aria-pressed", button.dataset.band === `${view.low_hz}-${view.high_hz}`);
  }
  $("[data-action=box]").setAttribute("aria-pressed", view.withBox);
  stage.dataset.index = item.index;
  stage.dataset.ready = "true";
}

/** Move the cursor to the position that is played; null hides it. */
export function moveCursor(item, at_s) {
  $("[data-action=play]").setAttribute("aria-pressed", at_s !== null);
  cursor.hidden = at_s === null;
  if (at_s === null) return;
  const { x, top, height } = scales(extentOf(item, view.pan_s), plot.getBoundingClientRect());
  Object.assign(cursor.style, { top: `${top}px`, height: `${height}px`, transform: `translateX(${x(at_s)}px)` });
}

/** The next longer (1) or shorter (-1) length of the time span, in seconds. */
export function neighbouringLength(step) {
  return LENGTHS_S[Math.min(Math.max(LENGTHS_S.indexOf(view.length_s) + step, 0), LENGTHS_S.length - 1)];
}
