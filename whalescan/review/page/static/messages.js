// What the page says of itself, and what it does where the server does not do what it should.

import { Gone, Refused } from "./server.js";

const [said, box] = [document.querySelector("#said"), document.querySelector("#alarm")];

let isOver = false;

export function say(text) {
  said.textContent = text;
}

export function sayAlso(text) {
  say([said.textContent, text].filter(Boolean).join("; "));
}

/** Whether something has gone wrong and nobody has tried again since. */
export function isAlarmed() {
  return !box.hidden;
}

/** What went wrong does not matter any more, and shall not be tried again. */
export function calm() {
  box.hidden = true;
}

/** From now on nobody expects the server to answer. */
export function over() {
  isOver = true;
  calm();
}

/** Say what went wrong; nothing is judged until somebody tries again. */
export function alarm(error, again = () => {}) {
  if (!(error instanceof Gone || error instanceof Refused)) throw error;
  if (isOver) return;
  const [text, button] = box.children;
  text.textContent = `${error.message}.`;
  button.onclick = () => {
    calm();
    again();
  };
  box.hidden = false;
}

/** Do what needs the server. Where it fails, say so, offer to try again, and give nothing back. */
export async function safely(act, again) {
  try {
    return await act();
  } catch (error) {
    alarm(error, again);
    return undefined;
  }
}
