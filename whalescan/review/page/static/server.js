// Requests to the server. Each returns the content, or throws RequestRejected with the server's reason or ServerUnreachable.

export class RequestRejected extends Error {}

export class ServerUnreachable extends Error {}

async function send(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new ServerUnreachable("The server does not answer");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new RequestRejected(body.error || `The server answered with status ${response.status}`);
}

export async function get(path) {
  return complete((await send(path)).json());
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return complete((await send(path, { method: "POST", headers, body: JSON.stringify(body) })).json());
}

/** An image or audio, and the span of the recording that it covers. */
export async function getExcerpt(path) {
  const response = await send(path);
  const [begin_s, end_s] = response.headers.get("Whalescan-Span").split(" ").map(Number);
  return { content: await complete(response.blob()), begin_s, end_s };
}

async function complete(content) {
  try {
    return await content;
  } catch {
    throw new ServerUnreachable("The connection was lost during a response");
  }
}
