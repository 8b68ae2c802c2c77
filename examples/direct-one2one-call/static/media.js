// Where pictures and sound come from: camera and microphone, or a generated test picture.

export const VIDEO = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 } };
const WANTED = { audio: true, video: { ...VIDEO, facingMode: { ideal: "user" } } };

const REASONS = {
  NotAllowedError: "Camera and microphone were refused. Allow them beside the address bar to be seen and heard.",
  NotFoundError: "No camera or microphone was found.",
  NotReadableError: "The camera or the microphone is in use by another program.",
};

/** Camera and microphone; where there are none, a test picture, and `why` says so in words. */
export async function open(wantTest, label) {
  if (wantTest) return { stream: testPicture(label), test: true };
  if (!navigator.mediaDevices) {
    return { stream: testPicture(label), test: true, why: "Browsers give the camera to https:// pages only. A test picture is sent instead." };
  }
  try {
    return { stream: await navigator.mediaDevices.getUserMedia(WANTED), test: false };
  } catch (error) {
    const why = REASONS[error.name] ?? `Camera and microphone cannot be used (${error.name}).`;
    return { stream: testPicture(label), test: true, why: `${why} A test picture is sent instead.` };
  }
}

/** A moving picture with a clock in it, and a very soft tone. It keeps moving in a hidden tab. */
function testPicture(label) {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 480;
  const context = canvas.getContext("2d");
  const started = performance.now();
  const paint = () => draw(context, label, (performance.now() - started) / 1000);
  paint();
  const worker = new Worker("ticker.js");
  worker.onmessage = paint;
  const stream = canvas.captureStream(15);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  const out = audio.createMediaStreamDestination();
  volume.gain.value = 0.02;
  tone.frequency.value = 220;
  tone.connect(volume).connect(out);
  tone.start();
  stream.addTrack(out.stream.getAudioTracks()[0]);
  stream.getVideoTracks()[0].addEventListener("ended", () => worker.terminate());
  stream.release = () => {
    worker.terminate();
    audio.close();
  };
  return stream;
}

function draw(context, label, seconds) {
  const { width, height } = context.canvas;
  const hue = (seconds * 24) % 360;
  const shade = context.createLinearGradient(0, 0, width, height);
  shade.addColorStop(0, `hsl(${hue} 62% 34%)`);
  shade.addColorStop(1, `hsl(${(hue + 70) % 360} 68% 20%)`);
  context.fillStyle = shade;
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#ffffff30";
  for (let ring = 0; ring < 5; ring += 1) {
    const angle = seconds * (0.5 + ring * 0.13) + ring;
    context.beginPath();
    context.arc(width / 2 + Math.cos(angle) * 190, height / 2 + Math.sin(angle) * 120, 26 + ring * 12, 0, 7);
    context.fill();
  }
  context.fillStyle = "#fff";
  context.textAlign = "center";
  context.font = "600 54px system-ui, sans-serif";
  context.fillText(label.slice(0, 16), width / 2, height / 2);
  context.font = "26px ui-monospace, monospace";
  context.fillText(`test picture  ${seconds.toFixed(1)} s`, width / 2, height / 2 + 48);
}

/** Stops everything that a stream holds. */
export function close(stream) {
  stream?.getTracks().forEach((track) => track.stop());
  stream?.release?.();
}

/** A soft double tone, repeated until the returned function is called. */
export function ring() {
  let audio;
  try {
    audio = new AudioContext();
  } catch {
    return () => {};
  }
  const beep = () => {
    for (const [at, pitch] of [[0, 660], [0.28, 880]]) {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.12, audio.currentTime + at);
      volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + at + 0.24);
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + at);
      tone.stop(audio.currentTime + at + 0.26);
    }
  };
  beep();
  const timer = setInterval(beep, 2000);
  return () => {
    clearInterval(timer);
    audio.close();
  };
}
