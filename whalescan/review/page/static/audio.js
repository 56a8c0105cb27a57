// Playback, one excerpt at a time.

let context = null;
let source = null;
let latestRequest = 0;

/** Stop playback, also one that is still loading. */
export function stop() {
  latestRequest += 1;
  if (source) {
    source.onended = null;
    source.stop();
    source = null;
  }
}

/**
 * Play a WAV file as soon as it is loaded.
 * @param {Promise<{content: Blob, begin_s: number}>} loading
 * @param {number} speed
 * @param {(at_s: number | null) => void} onPosition gets the position in the recording on each frame; null at the end.
 */
export async function play(loading, speed, onPosition) {
  stop();
  const request = latestRequest;
  context = context || new AudioContext();
  await context.resume();
  const { content, begin_s } = await loading;
  const decoded = await context.decodeAudioData(await content.arrayBuffer());
  if (request !== latestRequest) return;
  source = context.createBufferSource();
  source.buffer = decoded;
  source.connect(context.destination);
  source.onended = () => {
    stop();
    onPosition(null);
  };
  const started = context.currentTime;
  source.start();
  const step = () => {
    if (request !== latestRequest) return;
    onPosition(begin_s + (context.currentTime - started) * speed);
    requestAnimationFrame(step);
  };
  step();
}
