// The call: registration, signaling, and one RTCPeerConnection at a time.

import * as media from "./media.js";
import * as stats from "./stats.js";

const RING = 45_000;
const TITLE = document.title;
const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

/** What is going on. `call`: none, calling, ringing or running. */
const state = { socket: null, name: "", registered: false, wanted: false, retry: 0, ice: null, call: "none", peer: "", offer: null, early: [], connection: null, local: null, test: false, last: null, stop: [] };

// A stable view for automation.
window.call = { state: () => ({ registered: state.registered, call: state.call, peer: state.peer, test: state.test, stats: state.last }), socket: () => state.socket };

function log(text, error = false) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  line.append(time, text);
  line.classList.toggle("error", error);
  $("console").append(line);
  while ($("console").children.length > 200) $("console").firstChild.remove();
  $("console").scrollTop = $("console").scrollHeight;
}

function notice(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
  if (text) log(text, true);
}

function status(text, registration) {
  $("status").textContent = text;
  document.body.dataset.registration = registration;
  refresh();
}

/** Shows the state: what can be pressed, and what the stage says. */
function refresh() {
  document.body.dataset.call = state.call;
  $("register").disabled = state.socket?.readyState !== WebSocket.OPEN || state.call !== "none";
  $("call").disabled = !state.registered || state.call !== "none";
  $("terminate").disabled = state.call === "none";
  $("name").disabled = $("peer").disabled = state.call !== "none";
  $("ringing").hidden = state.call !== "ringing" || !state.offer;
  $("self").hidden = !state.local;
  const hints = { none: state.registered ? "Ready. Type a name and call." : "Register a name, then call somebody.", calling: `Calling ${state.peer}…`, ringing: state.offer ? "" : "Connecting…", running: "" };
  $("hint").textContent = hints[state.call];
  document.title = state.call === "ringing" && state.offer ? `☎ ${state.peer} is calling` : TITLE;
}

// Signaling

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/one2one`);
  state.socket = socket;
  socket.onopen = () => {
    state.retry = 0;
    status("Not registered", "none");
    if (state.wanted) register();
  };
  socket.onmessage = ({ data }) => receive(JSON.parse(data)).catch((error) => fail(`Something went wrong: ${error.message}`));
  socket.onclose = () => {
    if (state.socket !== socket) return;
    const waiting = Math.min(10, 2 ** state.retry) * 1000;
    state.retry += 1;
    state.registered = false;
    status("Connection lost: trying again…", "lost");
    log(`The connection to the server is lost; next try in ${waiting / 1000} s.`, true);
    if (state.call !== "none" && state.call !== "running") hangUp("The call was lost with the connection to the server.", false);
    setTimeout(connect, waiting);
  };
}

function send(message) {
  if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}

function register() {
  const name = $("name").value.trim();
  if (!name) {
    notice("You must insert your user name");
    return $("name").focus();
  }
  notice();
  state.name = name;
  state.wanted = true;
  status("Registering…", "none");
  send({ id: "register", name });
}

const handlers = {
  registerResponse({ response, message, iceConfiguration }) {
    if (response !== "accepted") {
      state.registered = false;
      // After a lost connection the server may still know the old one for a moment.
      if (message?.includes("already registered") && state.retry++ < 3 && state.ice) return void setTimeout(register, 2000);
      state.wanted = false;
      status("Not registered", "none");
      return notice(`Not registered: ${message ?? "the server refused"}`);
    }
    state.registered = true;
    state.ice = iceConfiguration ?? {};
    status(`Registered as ${state.name}`, "registered");
    log(`Registered as ${state.name}. Relay: ${(state.ice.iceServers ?? []).map((server) => server.urls ?? server.url).join(", ") || "none"}`);
    if (!state.ice.iceServers?.length) notice("The server names no relay; calls will not connect. Is STUNNER_PUBLIC_ADDR set?");
    if (query.get("call") && state.call === "none") place();
  },

  incomingCall({ from, sdpOffer }) {
    if (state.call !== "none") return send({ id: "incomingCallResponse", from, callResponse: "reject", message: "busy" });
    Object.assign(state, { call: "ringing", peer: from, offer: sdpOffer, early: [] });
    $("caller").textContent = `${from} is calling you. Do you accept the call?`;
    state.stop.push(media.ring(), timer(RING, () => decline("no answer")));
    log(`${from} is calling.`);
    refresh();
    $("accept").focus();
    if (query.get("accept")) accept();
  },

  async callResponse({ response, message, sdpAnswer }) {
    if (state.call !== "calling") return;
    if (response !== "accepted") return hangUp(`${state.peer} did not take the call: ${message ?? "declined"}`, false);
    silence();
    await state.connection.setRemoteDescription({ type: "answer", sdp: sdpAnswer });
    await flush();
    running();
  },

  async startCommunication({ sdpAnswer }) {
    if (sdpAnswer) await state.connection?.setRemoteDescription({ type: "answer", sdp: sdpAnswer });
    running();
  },

  stopCommunication() {
    hangUp(state.call === "running" ? `${state.peer} hung up.` : `${state.peer} gave up.`, false);
  },

  async iceCandidate({ candidate }) {
    if (!state.connection?.remoteDescription) return void state.early.push(candidate);
    await state.connection.addIceCandidate(candidate);
  },

  error({ message }) {
    notice(`The server says: ${message}`);
  },
};

async function receive(message) {
  if (!Object.hasOwn(handlers, message.id)) return log(`Unknown message ${message.id}`, true);
  await handlers[message.id](message);
}

// The call

async function prepare() {
  const opened = await media.open(query.get("media") === "test", state.name);
  if (opened.why) notice(opened.why);
  state.local = opened.stream;
  state.test = opened.test;
  $("videoInput").srcObject = opened.stream;
  $("self").classList.toggle("picture", opened.test);
  const connection = new RTCPeerConnection(state.ice);
  state.connection = connection;
  opened.stream.getTracks().forEach((track) => connection.addTrack(track, opened.stream));
  connection.onicecandidate = ({ candidate }) => candidate?.candidate && send({ id: "onIceCandidate", candidate });
  connection.onicecandidateerror = ({ url, errorCode, errorText }) => log(`Relay ${url}: ${errorCode} ${errorText}`, true);
  connection.ontrack = ({ streams }) => ($("videoOutput").srcObject = streams[0]);
  connection.onicegatheringstatechange = () => {
    const relayed = connection.localDescription?.sdp.includes("typ relay");
    if (connection.iceGatheringState === "complete" && state.ice.iceTransportPolicy === "relay" && !relayed) {
      notice("The relay cannot be reached from this browser. Is its port blocked by a firewall?");
    }
  };
  connection.onconnectionstatechange = () => {
    if (connection !== state.connection) return;
    log(`Connection: ${connection.connectionState}`);
    if (connection.connectionState === "failed") hangUp("No path to the other side: the relay cannot be reached, or the call was cut.");
  };
  applySwitches();
  refresh();
  return connection;
}

async function place() {
  const to = $("peer").value.trim();
  if (!to) {
    notice("You must specify the peer name");
    return $("peer").focus();
  }
  notice();
  Object.assign(state, { call: "calling", peer: to, early: [] });
  refresh();
  const connection = await prepare();
  if (state.call !== "calling") return;
  const offer = await connection.createOffer();
  send({ id: "call", from: state.name, to, sdpOffer: offer.sdp });
  state.stop.push(timer(RING + 2000, () => hangUp(`${to} does not answer.`)));
  log(`Calling ${to}.`);
  await connection.setLocalDescription(offer);
}

async function accept() {
  const offer = state.offer;
  if (state.call !== "ringing" || !offer) return;
  silence();
  state.offer = null;
  refresh();
  const connection = await prepare();
  if (state.call !== "ringing") return;
  await connection.setRemoteDescription({ type: "offer", sdp: offer });
  await flush();
  const answer = await connection.createAnswer();
  send({ id: "incomingCallResponse", from: state.peer, callResponse: "accept", sdpAnswer: answer.sdp });
  await connection.setLocalDescription(answer);
  running();
}

function decline(message = "user declined") {
  send({ id: "incomingCallResponse", from: state.peer, callResponse: "reject", message });
  hangUp(message === "no answer" ? `You missed a call of ${state.peer}.` : undefined, false);
}

async function flush() {
  for (const candidate of state.early.splice(0)) await state.connection.addIceCandidate(candidate);
}

function running() {
  state.call = "running";
  log(`In a call with ${state.peer}.`);
  state.stop.push(stats.watch(state.connection, show));
  refresh();
}

/** Ends whatever is going on, and tells the other side unless it knows. */
function hangUp(why, tell = true) {
  if (tell) send({ id: "stop" });
  silence();
  state.connection?.close();
  media.close(state.local);
  $("videoInput").srcObject = $("videoOutput").srcObject = null;
  if (state.call !== "none") log("The call has ended.");
  Object.assign(state, { call: "none", offer: null, early: [], connection: null, local: null, last: null });
  $("route").hidden = true;
  const none = document.createElement("div");
  none.className = "none";
  none.textContent = "No call.";
  $("stats").replaceChildren(none);
  notice(why);
  refresh();
}

function fail(text) {
  if (state.call === "none") notice(text);
  else hangUp(text);
}

function silence() {
  state.stop.splice(0).forEach((stop) => stop());
}

function timer(after, action) {
  const id = setTimeout(action, after);
  return () => clearTimeout(id);
}

function show(summary) {
  state.last = summary;
  const entries = stats.rows(summary).map(([term, text]) => {
    const row = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = text;
    row.append(dt, dd);
    return row;
  });
  $("stats").replaceChildren(...entries);
  $("route").hidden = summary.local !== "relay";
  $("route").textContent = `Relayed over ${(summary.relayProtocol ?? "?").toUpperCase()}`;
}

// Buttons and keys

const switches = { mute: false, camera: false, speaker: false };

function applySwitches() {
  state.local?.getAudioTracks().forEach((track) => (track.enabled = !switches.mute));
  state.local?.getVideoTracks().forEach((track) => (track.enabled = !switches.camera));
  $("videoOutput").muted = switches.speaker;
}

for (const id of Object.keys(switches)) {
  $(id).onclick = () => {
    switches[id] = !switches[id];
    $(id).setAttribute("aria-pressed", String(switches[id]));
    applySwitches();
  };
}

$("register").onclick = register;
$("call").onclick = () => place().catch((error) => fail(`The call cannot be placed: ${error.message}`));
$("accept").onclick = () => accept().catch((error) => fail(`The call cannot be taken: ${error.message}`));
$("decline").onclick = () => decline();
$("terminate").onclick = () => (state.call === "ringing" && state.offer ? decline() : hangUp());
$("lobby").onsubmit = (event) => event.preventDefault();
for (const [input, button] of [["name", "register"], ["peer", "call"]]) {
  $(input).addEventListener("keydown", ({ key }) => {
    if (key === "Enter") $(button).click();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = { m: "mute", v: "camera", s: "speaker", Escape: "terminate" };
  if (keys[event.key]) $(keys[event.key]).click();
});
addEventListener("pagehide", () => send({ id: "stop" }));

$("name").value = query.get("name") ?? "";
$("peer").value = query.get("peer") ?? "";
state.wanted = Boolean(query.get("register") && query.get("name"));
refresh();
connect();
$($("name").value ? "peer" : "name").focus();
