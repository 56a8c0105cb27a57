// What the page says of itself, and what it does where the server does not do what it should.

import { Gone, Refused } from "./server.js";

const [said, box] = [document.querySelector("#said"), document.querySelector("#alarm")];

let isOver = false;

export function say(text) {
  said.textContent = text;
}

/** Whether something has gone wrong and nobody has tried again since. */
export function isAlarmed() {
  return !box.hidden;
}

/** From now on nobody expects the server to answer. */
export function over() {
  isOver = true;
  box.hidden = true;
}

/** Say what went wrong; nothing is judged until somebody tries again. */
export function alarm(error, again = () => {}) {
  if (!(error instanceof Gone || error instanceof Refused)) throw error;
  if (isOver) return;
  const [text, button] = box.children;
  text.textContent = `${error.message}.`;
  button.onclick = () => {
    box.hidden = true;
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
