// Texts that describe detections, reviews and estimates.

import { clock } from "./axes.js";

export const REVIEW_TEXT = { yes: "✓ Yes", no: "✗ No", maybe: "? Maybe", unreviewed: "unreviewed" };

/** Reviewers and their reviews, one text each. */
export function reviewTexts(reviews) {
  return Object.entries(reviews).map(([name, review]) => `${name || "unnamed reviewer"}: ${REVIEW_TEXT[review]}`);
}

function scoreText(item) {
  if (!item.is_revealed) return "hidden";
  return item.score === null ? "none (added by a person)" : item.score.toFixed(2);
}

/** Properties of a detection, as pairs of a term and its text. */
export function detectionProperties(item) {
  const [date, time] = item.begin_utc ? item.begin_utc.replace("Z", "").split("T") : ["", ""];
  return [
    ["Time", date ? `${date} ${time.slice(0, 10)} UTC` : "unknown"],
    ["In the recording", clock(item.begin_s, 1)],
    ["Class", item.label],
    ["Score", scoreText(item)],
    ...(item.channel > 1 ? [["Channel", item.channel]] : []),
    ["Box", `${(item.end_s - item.begin_s).toFixed(1)} s, ${Math.round(item.low_hz)}–${Math.round(item.high_hz)} Hz`],
    ["Recording", item.recording],
  ];
}

/** Elements of a description list, from pairs of a term and its text. */
export function descriptionElements(pairs) {
  return pairs.map(([term, text]) => {
    const pair = document.createElement("div");
    pair.append(
      Object.assign(document.createElement("dt"), { textContent: term }),
      Object.assign(document.createElement("dd"), { textContent: text }),
    );
    return pair;
  });
}

/** The precision of all detections, estimated from the reviewed part of the sample. */
export function precisionText({ precision, n_sampled, n_detections, covered_share }) {
  if (!precision) {
    return `precision: not known yet (${Math.round(100 * covered_share)} % of the detections are in strata with reviews)`;
  }
  const [value, low, high] = [precision.value, precision.low, precision.high].map((share) => (100 * share).toFixed(0));
  const sample = `${n_sampled.toLocaleString("en")} of ${n_detections.toLocaleString("en")} detections`;
  return `precision ${value} % (95 % CI ${low}–${high} %), from ${sample}`;
}
