// What the page asks the server for. Every answer is one of: what was asked for, Refused with the server's reason, or Gone.

export class Refused extends Error {}

export class Gone extends Error {}

async function answerTo(path, request) {
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new Gone("The server does not answer");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(said.problem || `The server answers ${answer.status}`);
}

export async function get(path) {
  return received((await answerTo(path)).json());
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return received((await answerTo(path, { method: "POST", headers, body: JSON.stringify(body) })).json());
}

/** A picture or a sound, and the seconds of the recording that it holds. */
export async function excerpt(path) {
  const answer = await answerTo(path);
  const [begin_s, end_s] = answer.headers.get("Whalescan-Span").split(" ").map(Number);
  return { content: await received(answer.blob()), begin_s, end_s };
}

async function received(content) {
  try {
    return await content;
  } catch {
    throw new Gone("The server stopped in the middle of an answer");
  }
}
