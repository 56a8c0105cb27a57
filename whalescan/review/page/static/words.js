// What the page says of calls and of estimates.

import { clock } from "./axes.js";

export const MARKS = { yes: "✓ yes", no: "✗ no", maybe: "? maybe", unreviewed: "not judged" };

/** Names and verdicts, as one line each. */
export function opinions(verdicts) {
  return Object.entries(verdicts).map(([name, verdict]) => `${name || "somebody"}: ${MARKS[verdict]}`);
}

/** What is known of a call, as pairs of a term and its text. */
export function facts(card) {
  const [date, time] = card.begin_utc ? card.begin_utc.replace("Z", "").split("T") : ["", ""];
  return [
    ["Time", date ? `${date} ${time.slice(0, 10)} UTC` : "no clock"],
    ["In the recording", clock(card.begin_s, 1)],
    ["Class", card.label],
    ["Score", card.is_open ? (card.score === null ? "none: a person saw it" : card.score.toFixed(2)) : "hidden"],
    ...(card.channel > 1 ? [["Channel", card.channel]] : []),
    ["Box", `${(card.end_s - card.begin_s).toFixed(1)} s, ${Math.round(card.low_hz)}–${Math.round(card.high_hz)} Hz`],
    ["Recording", card.recording],
  ];
}

/** Pairs as a list of terms. */
export function described(pairs) {
  return pairs.map(([term, text]) => {
    const pair = document.createElement("div");
    pair.append(
      Object.assign(document.createElement("dt"), { textContent: term }),
      Object.assign(document.createElement("dd"), { textContent: text }),
    );
    return pair;
  });
}

/** The precision of all calls, as far as a sample tells. */
export function precisionOf({ precision, n_drawn, n_calls, covered }) {
  if (!precision) return `precision: not known yet (${Math.round(100 * covered)} % of the calls in strata sampled)`;
  const [value, low, high] = [precision.value, precision.low, precision.high].map((one) => (100 * one).toFixed(0));
  return `precision ${value} % (${low}–${high} %), from ${n_drawn} of ${n_calls.toLocaleString("en")} calls`;
}
