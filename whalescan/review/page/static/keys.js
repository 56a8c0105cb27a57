// Keyboard shortcuts. They do not act while text is typed or where a control uses the key itself.

const ACTION_KEYS = {
  u: "undo", Backspace: "undo", j: "next", PageDown: "next", k: "previous", PageUp: "previous", " ": "play",
  ArrowLeft: "earlier", ArrowRight: "later", "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", b: "box", 0: "reset",
  "[": "slower", "]": "faster", v: "others", o: "options", "?": "keys",
};
const REVIEW_KEYS = { y: "yes", 1: "yes", n: "no", 2: "no", m: "maybe", 3: "maybe" };
const BAND_KEYS = { 7: "0-1000", 8: "0-500", 9: "30-350" };

/** The command of a key event, as { review }, { band } or { action }; null where the key has none. */
export function commandOf({ key, target, ctrlKey, metaKey, altKey, repeat }) {
  if (ctrlKey || metaKey || altKey || target.matches("select, input:not([type=checkbox])")) return null;
  if (key === " " && target.matches("button, summary, input")) return null;
  const name = key.length === 1 ? key.toLowerCase() : key;
  const mayRepeat = name.startsWith("Arrow") || name === "+" || name === "-";
  if (repeat && !mayRepeat) return null;
  if (REVIEW_KEYS[name]) return { review: REVIEW_KEYS[name] };
  if (BAND_KEYS[name]) return { band: BAND_KEYS[name] };
  return ACTION_KEYS[name] ? { action: ACTION_KEYS[name] } : null;
}
