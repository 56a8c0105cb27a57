// Axes, grid and detection box over a spectrogram, as SVG in page pixels, so that text keeps its size at any width.

const SVG = "http://www.w3.org/2000/svg";
const MARGINS_REM = { left: 3.1, right: 0.6, top: 0.6, bottom: 1.6 };
const STEPS_S = [0.2, 0.5, 1, 2, 5, 10, 15, 30];
const STEPS_HZ = [10, 20, 50, 100, 200, 250];
const CLOSEST_TICKS_REM = { s: 5.6, hz: 2.3 };

function element(name, attributes, text) {
  const created = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  if (text !== undefined) created.textContent = text;
  return created;
}

function ticks(from, to, steps, length_px, closest_px) {
  const step = steps.find((candidate) => (candidate / (to - from)) * length_px >= closest_px) || steps.at(-1);
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** Seconds as h:mm:ss, with a number of decimals. */
export function clock(seconds, decimals) {
  const scale = 10 ** decimals;
  const rounded = Math.round(Math.abs(seconds) * scale);
  const whole = Math.floor(rounded / scale);
  const two = (n) => String(n).padStart(2, "0");
  const part = decimals ? `.${String(rounded % scale).padStart(decimals, "0")}` : "";
  return `${seconds < 0 ? "−" : ""}${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${part}`;
}

/** Functions from seconds and hertz to page pixels, for a view and the size of the plot; all lengths are in pixels. */
export function scales(view, size) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const { left, right, top, bottom } = Object.fromEntries(Object.entries(MARGINS_REM).map(([side, n]) => [side, n * rem]));
  const width = Math.max(size.width - left - right, 1);
  const height = Math.max(size.height - top - bottom, 1);
  return {
    rem,
    left,
    top,
    width,
    height,
    x: (s) => left + ((s - view.begin_s) / (view.end_s - view.begin_s)) * width,
    y: (hz) => top + ((view.high_hz - hz) / (view.high_hz - view.low_hz)) * height,
  };
}

/** Draw the axes, and optionally the box, over the spectrogram. */
export function drawAxes(group, view, size, item, withBox) {
  const { x, y, rem, left, top, width, height } = scales(view, size);
  const [right, bottom] = [left + width, top + height];
  const parts = [];
  for (const s of ticks(view.begin_s, view.end_s, STEPS_S, width, CLOSEST_TICKS_REM.s * rem)) {
    if (s < 0) continue;
    parts.push(element("line", { class: "grid", x1: x(s), x2: x(s), y1: top, y2: bottom }));
    const isWhole = Math.abs(s - Math.round(s)) < 1e-6;
    parts.push(element("text", { x: x(s), y: bottom + 1.1 * rem, "text-anchor": "middle" }, clock(s, isWhole ? 0 : 1)));
  }
  for (const hz of ticks(view.low_hz, view.high_hz, STEPS_HZ, height, CLOSEST_TICKS_REM.hz * rem)) {
    parts.push(element("line", { class: "grid", x1: left, x2: right, y1: y(hz), y2: y(hz) }));
    parts.push(element("text", { x: left - 0.4 * rem, y: y(hz) + 0.28 * rem, "text-anchor": "end" }, hz));
  }
  const turned = `translate(${0.75 * rem} ${(top + bottom) / 2}) rotate(-90)`;
  parts.push(element("text", { "text-anchor": "middle", transform: turned }, "Hz"));
  parts.push(element("rect", { class: "frame", x: left, y: top, width, height }));
  if (withBox) parts.push(...boxElements(item, view, { x, y }));
  group.replaceChildren(...parts);
}

function boxElements(item, view, { x, y }) {
  const [begin, end] = [Math.max(item.begin_s, view.begin_s), Math.min(item.end_s, view.end_s)];
  const [low, high] = [Math.max(item.low_hz, view.low_hz), Math.min(item.high_hz, view.high_hz)];
  if (begin >= end || low >= high) return [];
  const place = { x: x(begin), y: y(high), width: x(end) - x(begin), height: y(low) - y(high) };
  return [element("rect", { class: "halo", ...place }), element("rect", { class: "box", ...place })];
}
