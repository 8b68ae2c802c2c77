// The check: what this browser can reach, step by step, with a time and an advice for each.

import * as advice from "./advice.js";
import { gather, loop } from "./relay.js";
import { events, socket } from "./wire.js";

const $ = (id) => document.getElementById(id);
const PATIENCE = 15_000;
const ASKING = 20_000;

/** A failure that knows what to do. */
class Fault extends Error {
  constructor(message, todo) {
    super(message);
    this.todo = todo;
  }
}

let steps = [];
let done = false;

// A stable view for automation.
window.check = { steps: () => steps, done: () => done, ok: () => done && isGood() };

const isGood = () => steps.every((step) => step.status !== "failed");

/** Runs a step and shows what came of it. Returns what `work` does; a fault is shown, and nothing is returned. */
async function run(name, work) {
  const step = { name, status: "running", text: "", advice: null, milliseconds: null };
  steps.push(step);
  const line = document.createElement("li");
  $("steps").append(line);
  show(line, step);
  const start = performance.now();
  let value;
  try {
    const found = await work();
    value = found.value;
    Object.assign(step, { status: found.warning ? "warning" : "ok", text: found.text, advice: found.warning ?? null });
  } catch (error) {
    Object.assign(step, { status: "failed", text: error.message, advice: error.todo ?? advice.UNKNOWN });
  }
  step.milliseconds = Math.round((performance.now() - start) * 10) / 10;
  step.refresh = () => show(line, step);
  step.refresh();
  return value;
}

function show(line, { name, status, text, milliseconds }) {
  line.dataset.status = status;
  const [title, time, words] = ["span", "time", "p"].map((kind) => document.createElement(kind));
  title.textContent = name;
  time.textContent = milliseconds === null ? "" : `${milliseconds} ms`;
  words.textContent = text;
  line.replaceChildren(title, time, words);
}

/** Rejects when it takes too long. */
function within(milliseconds, promise, fault) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(fault), milliseconds)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The steps

async function page() {
  if (!window.RTCPeerConnection) throw new Fault("This browser has no WebRTC.", advice.NO_WEBRTC);
  if (window.isSecureContext) return { text: "WebRTC is there, and the page may use the camera." };
  return { text: `${location.origin} is no secure page: browsers keep the camera from it.`, warning: advice.INSECURE };
}

async function camera() {
  if (!navigator.mediaDevices) return { text: "The browser offers no camera here.", warning: advice.INSECURE };
  try {
    const fault = new Fault("Nobody has answered whether the camera may be used.", advice.camera("NotAllowedError"));
    const stream = await within(ASKING, navigator.mediaDevices.getUserMedia({ audio: true, video: true }), fault);
    const names = stream.getTracks().map((track) => track.label || track.kind).join(", ");
    stream.getTracks().forEach((track) => track.stop());
    return { text: `Allowed: ${names}` };
  } catch (error) {
    // A call works without, with a test picture.
    return { text: error.message, warning: advice.camera(error.name) };
  }
}

/** Registers as everybody does, over one kind of connection, under a name of its own, and leaves again. */
async function register(connect) {
  const name = `check-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
  let [link, isOpen] = [null, false];
  try {
    return await within(PATIENCE, new Promise((answered, failed) => {
      link = connect({
        open() {
          isOpen = true;
          link.send(JSON.stringify({ id: "register", name }));
        },
        message: (text) => {
          const message = JSON.parse(text);
          if (message.id === "registerResponse") answered(message);
        },
        close: () => failed(new Error("closed")),
      });
    }), new Error("silent"));
  } finally {
    // A goodbye gives the name back at once.
    if (isOpen) await link.send(JSON.stringify({ id: "leave" }), true);
    link?.close();
  }
}

/** Over a WebSocket or, as the call does it, where none opens, over POST and EventSource. */
async function signaling() {
  let [answer, warning] = [await register(socket).catch(() => null), undefined];
  if (!answer) {
    warning = advice.socket(location.protocol);
    answer = await register(events).catch(() => null);
  }
  if (!answer) throw new Fault("The server is reached neither by WebSocket nor by EventSource.", warning);
  if (answer.response !== "accepted") throw new Fault(`Not registered: ${answer.message}`, advice.REGISTER);
  const text = warning ? "No WebSocket opens; calls go by POST and EventSource." : "A WebSocket is open.";
  return { text, warning, value: answer.iceConfiguration ?? {} };
}

async function configuration(ice) {
  const servers = (ice.iceServers ?? []).flatMap((server) => {
    const { username, credential } = server;
    return [server.urls ?? server.url].flat().map((urls) => ({ urls, username, credential }));
  });
  const relays = servers.filter(({ urls }) => /^turns?:/.test(urls));
  if (!relays.length) throw new Fault("The server names no relay.", advice.NO_RELAY);
  return { text: `${relays.map(({ urls }) => urls).join(", ")}; policy ${ice.iceTransportPolicy ?? "all"}`, value: relays };
}

async function one(server) {
  const { candidate, errors } = await gather(server, PATIENCE);
  if (candidate) {
    return { text: `Relay candidate ${candidate.address}:${candidate.port}`, value: server };
  }
  const [error] = errors;
  const said = error ? `${error.errorCode} ${error.errorText}` : "no relay candidate, and no error either";
  throw new Fault(said, advice.candidate(error?.errorCode, server.urls));
}

async function call(servers) {
  const found = await loop(servers, PATIENCE);
  if (!found.opened) throw new Fault("Two relay candidates of this browser do not reach each other.", advice.LOOP);
  const { roundTrip, lost, sent, protocol } = found;
  if (roundTrip === null) throw new Fault(`All of ${sent} packets were lost.`, advice.LOSS);
  const text = `There and back in ${roundTrip.toFixed(1)} ms over ${protocol}, ${lost} of ${sent} packets lost`;
  return { text, warning: lost > 0 ? advice.LOSS : undefined };
}

/** Where one way to the relay works, one that does not is no failure. */
function soften(lines) {
  if (!lines.some((step) => step.status === "ok")) return;
  for (const step of lines.filter((step) => step.status === "failed")) {
    step.status = "warning";
    step.refresh();
  }
}

async function all() {
  $("steps").replaceChildren();
  $("todo").hidden = true;
  $("verdict").textContent = "Checking…";
  $("again").disabled = true;
  [steps, done] = [[], false];
  await run("This page", page);
  if (window.RTCPeerConnection) {
    await run("Camera and microphone", camera);
    const ice = await run("Signaling", signaling);
    const servers = ice && (await run("ICE configuration", () => configuration(ice)));
    if (servers) await relays(servers);
  }
  finish();
}

async function relays(servers) {
  const before = steps.length;
  const found = await Promise.all(servers.map((server) => run(server.urls, () => one(server))));
  soften(steps.slice(before));
  const good = found.filter(Boolean);
  if (good.length) await run("Call through the relay", () => call(good));
}

function finish() {
  done = true;
  const todo = [...new Set(["failed", "warning"].flatMap((status) => steps.filter((step) => step.status === status).map((step) => step.advice)))];
  $("advice").replaceChildren(...todo.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  $("todo").hidden = !todo.length;
  $("verdict").textContent = isGood() ? "Calls work here" : "Calls do not work here";
  document.body.dataset.registration = isGood() ? "registered" : "lost";
  $("again").disabled = false;
}

/** What can be pasted into a mail. There are no credentials in it. */
function report() {
  const line = ({ name, status, text, milliseconds }) => `${status}\t${name}\t${milliseconds} ms\t${text}`;
  return [navigator.userAgent, ...steps.map(line)].join("\n");
}

$("again").onclick = all;
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(report());
    $("copy").textContent = "Copied";
  } catch {
    $("copy").textContent = "The browser does not allow it";
  }
};
all();
