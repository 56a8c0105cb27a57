// Which key does what. Letters and digits only where nobody writes, and where no control wants the key for itself.

const KEYS = {
  u: "undo", Backspace: "undo", j: "next", PageDown: "next", k: "previous", PageUp: "previous", " ": "play",
  ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "=": "closer", "-": "wider", b: "box", 0: "reset",
  "[": "slower", "]": "faster", v: "others", o: "options", "?": "keys",
};
const VERDICT_KEYS = { y: "yes", 1: "yes", n: "no", 2: "no", m: "maybe", 3: "maybe" };
const BAND_KEYS = { 7: "0-1000", 8: "0-500", 9: "30-350" };

/** What a key asks for, as { verdict }, { band } or { name } of an act; null where it asks for nothing. */
export function asked({ key, target, ctrlKey, metaKey, altKey, repeat }) {
  if (ctrlKey || metaKey || altKey || target.matches("select, input:not([type=checkbox])")) return null;
  if (key === " " && target.matches("button, summary, input")) return null;
  const name = key.length === 1 ? key.toLowerCase() : key;
  const mayRepeat = name.startsWith("Arrow") || name === "+" || name === "-";
  if (repeat && !mayRepeat) return null;
  if (VERDICT_KEYS[name]) return { verdict: VERDICT_KEYS[name] };
  if (BAND_KEYS[name]) return { band: BAND_KEYS[name] };
  return KEYS[name] ? { name: KEYS[name] } : null;
}
