// The device in the hand: which camera, and a screen that stays on.

let lock = null;
let wanted = false;

async function hold() {
  // Browsers give the lock to visible pages only, and take it back when they are hidden.
  if (!wanted || document.visibilityState !== "visible" || !navigator.wakeLock) return;
  lock = await navigator.wakeLock.request("screen").catch(() => null);
  if (!wanted) release();
}

function release() {
  lock?.release();
  lock = null;
}

document.addEventListener("visibilitychange", hold);

/** Keeps the screen on, until told otherwise. */
export function stayAwake(awake) {
  if (wanted === awake) return;
  wanted = awake;
  if (awake) hold();
  else release();
}

export const isAwake = () => Boolean(lock && !lock.released);

/** Whether there is another camera to turn to. Browsers tell only who was allowed to use one. */
export async function hasOtherCamera() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind }) => kind === "videoinput").length > 1;
}

/** Turns a stream to the camera on the other side, or to the next one; `use` sends its track in place of the old one. */
export async function flip(stream, video, use) {
  const old = stream.getVideoTracks()[0];
  const { deviceId, facingMode } = old.getSettings();
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const next = cameras[(cameras.findIndex((camera) => camera.deviceId === deviceId) + 1) % cameras.length];
  const choice = facingMode
    ? { facingMode: { exact: facingMode === "user" ? "environment" : "user" } }
    : { deviceId: { exact: next.deviceId } };
  const open = (which) => navigator.mediaDevices.getUserMedia({ video: { ...video, ...which } });
  const opened = await open(choice).catch(() => {
    // Some phones open one camera at a time.
    old.stop();
    return open(choice).catch(() => open({ deviceId: { ideal: next.deviceId } }));
  });
  const [track] = opened.getVideoTracks();
  track.enabled = old.enabled;
  await use(track);
  stream.removeTrack(old);
  stream.addTrack(track);
  old.stop();
}
