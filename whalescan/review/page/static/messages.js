// Status line and error bar of the page.

import { RequestRejected, ServerUnreachable } from "./server.js";

const [status, errorBar] = [document.querySelector("#status"), document.querySelector("#error")];

let isFinished = false;

export function showStatus(text) {
  status.textContent = text;
}

export function appendStatus(text) {
  showStatus([status.textContent, text].filter(Boolean).join("; "));
}

/** Whether an error is shown that nobody has retried yet. */
export function hasError() {
  return !errorBar.hidden;
}

/** Hide the error without retrying. */
export function clearError() {
  errorBar.hidden = true;
}

/** Ignore errors from now on: the review is finished, and the server stops. */
export function ignoreErrors() {
  isFinished = true;
  clearError();
}

/** Show an error with a button to retry; nothing can be reviewed until it is pressed. */
export function showError(error, retry = () => {}) {
  if (!(error instanceof ServerUnreachable || error instanceof RequestRejected)) throw error;
  if (isFinished) return;
  const [text, button] = errorBar.children;
  text.textContent = `${error.message}.`;
  button.onclick = () => {
    clearError();
    retry();
  };
  errorBar.hidden = false;
}

/** Run a function that needs the server; if it fails, show the error with a button to retry, and return undefined. */
export async function withErrorShown(run, retry) {
  try {
    return await run();
  } catch (error) {
    showError(error, retry);
    return undefined;
  }
}
