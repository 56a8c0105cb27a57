// Screen at the end of a queue, and at the end of the review.

import { descriptionElements, precisionText, REVIEW_TEXT } from "./text.js";

const $ = (selector) => document.querySelector(selector);

function show(title, text) {
  $("#work").hidden = true;
  $("#end").hidden = false;
  $("#end-title").textContent = title;
  $("#end-text").textContent = text;
  $("#end-title").focus();
}

/** Show the end of a queue with the numbers of its reviews. */
export function showEnd({ n_detections, counts, estimate }) {
  if (n_detections) show("End of this queue", "All reviews are saved.");
  else show("No detections match", "Choose other detections, or finish.");
  const pairs = Object.keys(REVIEW_TEXT).map((review) => [REVIEW_TEXT[review], counts[review]]);
  $("#end-counts").replaceChildren(...(n_detections ? descriptionElements(pairs) : []));
  $("#end-estimate").textContent = estimate ? `All detections of the survey: ${precisionText(estimate)}.` : "";
  $("#end-unreviewed").hidden = !counts.unreviewed;
  $("#end-restart").hidden = !n_detections;
}

/** Show the end of the review, without further buttons. */
export function showFinished() {
  const text = "The tables are being written; the terminal reports when they are complete. You can close this page.";
  show("The review is finished", text);
  for (const button of document.querySelectorAll("button")) button.hidden = true;
}
