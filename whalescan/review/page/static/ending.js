// What the page shows when a list, or the review, is at its end.

import { described, MARKS, precisionOf } from "./words.js";

const $ = (selector) => document.querySelector(selector);

function show(title, text) {
  $("#work").hidden = true;
  $("#end").hidden = false;
  $("#end-title").textContent = title;
  $("#end-text").textContent = text;
  $("#end-title").focus();
}

/** The end of a list, with what its reviewer said. */
export function showEnd({ n_calls, counts, estimates }) {
  if (n_calls) show("The end of this list", "Every judgement is on disk.");
  else show("There is no such call", "Choose other calls, or finish.");
  const pairs = Object.keys(MARKS).map((verdict) => [MARKS[verdict], counts[verdict]]);
  $("#end-counts").replaceChildren(...(n_calls ? described(pairs) : []));
  $("#end-estimate").textContent = estimates ? `All calls of the survey: ${precisionOf(estimates)}.` : "";
  $("#end-open").hidden = !counts.unreviewed;
  $("#end-back").hidden = !n_calls;
}

/** The end of the review; there is nothing more to press. */
export function showFinished() {
  const where = "where the review was started, it says when they are. You can close this page.";
  show("The review is finished", `The tables are being written; ${where}`);
  for (const button of document.querySelectorAll("button")) button.hidden = true;
}
