// Sound of what is shown, played faster. One sound at a time.

let audio = null;
let source = null;
let wanted = 0;

/** Stop what plays, and what is about to. */
export function stop() {
  wanted += 1;
  if (source) {
    source.onended = null;
    source.stop();
    source = null;
  }
}

/**
 * Play a WAV as soon as it is there.
 * @param {Promise<{content: Blob, begin_s: number}>} coming
 * @param {number} speed
 * @param {(at_s: number | null) => void} follow is told at each frame which second of the recording sounds; null at the end.
 */
export async function play(coming, speed, follow) {
  stop();
  const mine = wanted;
  audio = audio || new AudioContext();
  await audio.resume();
  const { content, begin_s } = await coming;
  const decoded = await audio.decodeAudioData(await content.arrayBuffer());
  if (mine !== wanted) return;
  source = audio.createBufferSource();
  source.buffer = decoded;
  source.connect(audio.destination);
  source.onended = () => {
    stop();
    follow(null);
  };
  const started = audio.currentTime;
  source.start();
  const step = () => {
    if (mine !== wanted) return;
    follow(begin_s + (audio.currentTime - started) * speed);
    requestAnimationFrame(step);
  };
  step();
}
