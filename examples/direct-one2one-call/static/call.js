// The call: registration, signaling, and one peer at a time.

import * as devices from "./devices.js";
import * as media from "./media.js";
import { Peer } from "./peer.js";
import * as stats from "./stats.js";
import * as view from "./view.js";
import { Wire } from "./wire.js";

const RING = 45_000;
const { $, log, notice, status } = view;
const query = new URLSearchParams(location.search);

/** What is going on. `call`: none, calling, ringing or running. */
const state = { name: "", registered: false, wanted: false, resume: null, ice: null, call: "none", peer: "", offer: null, early: [], link: null, local: null, test: false, last: null, stop: [] };

const wire = new Wire({
  opened(kind) {
    document.body.dataset.wire = kind;
    if (kind !== "WebSocket") log("This browser opens no WebSocket here: messages go by POST and EventSource.");
    status("Not registered", "none");
    if (state.resume) wire.send({ id: "resume", token: state.resume });
    else if (state.wanted) register();
    refresh();
  },
  received: (message) => receive(message).catch((error) => fail(`Something went wrong: ${error.message}`)),
  lost(wait) {
    state.registered = false;
    status("Connection lost: trying again…", "lost");
    log(`The connection to the server is lost; next try in ${wait} s.`, true);
    if (state.call !== "none" && state.call !== "running") hangUp("The call was lost with the connection to the server. Call again when it is back.", false);
    refresh();
  },
});

// A stable view for automation.
window.call = {
  state: () => ({ registered: state.registered, call: state.call, peer: state.peer, test: state.test, stats: state.last, awake: devices.isAwake(), user: state.ice?.iceServers?.[0]?.username }),
  socket: () => wire,
  connection: () => state.link?.connection,
};

const refresh = () => view.refresh(state, wire.isOpen);
const send = (message) => wire.send(message);

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
  send({ id: "register", name, extended: true });
}

function registered(iceConfiguration, resume) {
  state.registered = true;
  state.resume = resume ?? null;
  state.ice = iceConfiguration ?? {};
  status(`Registered as ${state.name}`, "registered");
  refresh();
}

const handlers = {
  registerResponse({ response, message, iceConfiguration, resume }) {
    if (response !== "accepted") {
      state.wanted = state.registered = false;
      status("Not registered", "none");
      refresh();
      return notice(`Not registered: ${message ?? "the server refused"}. ${message?.includes("already registered") ? "Choose another name, or, if that is you on a page that is gone, wait half a minute." : ""}`);
    }
    registered(iceConfiguration, resume);
    log(`Registered as ${state.name}. Relay: ${(state.ice.iceServers ?? []).map((server) => server.urls ?? server.url).join(", ") || "none"}`);
    if (!state.ice.iceServers?.length) notice("The server names no relay; calls will not connect. Is STUNNER_PUBLIC_ADDR set?");
    view.invite(state.name).catch(() => {});
    const once = query.get("call");
    query.delete("call");
    if (once && state.call === "none") placing();
  },

  async resumeResponse({ response, resume, peer, iceConfiguration }) {
    if (response !== "accepted") {
      state.resume = null;
      log("The server does not know this page any more: it registers anew.", true);
      return state.wanted ? register() : status("Not registered", "none");
    }
    registered(iceConfiguration, resume);
    log(`Back as ${state.name}.`);
    if (!peer && state.call === "running") return hangUp(`${state.peer} hung up while the connection was lost.`, false);
    if (peer && state.call !== "running") return send({ id: "stop" });
    if (iceConfiguration) state.link?.connection.setConfiguration(iceConfiguration);
    if (state.link && !state.link.settled) await state.link.restart();
  },

  async iceConfiguration({ iceConfiguration }) {
    state.ice = iceConfiguration;
    log("The relay's credentials were renewed.");
    if (state.call === "running") await state.link.renew(iceConfiguration);
    else state.link?.connection.setConfiguration(iceConfiguration);
  },

  users({ users, more }) {
    view.users(users, more, state.name, (name) => {
      $("peer").value = name;
      placing();
    });
    refresh();
  },

  incomingCall({ from, sdpOffer }) {
    if (state.call !== "none") return send({ id: "incomingCallResponse", from, callResponse: "reject", message: "busy" });
    Object.assign(state, { call: "ringing", peer: from, offer: sdpOffer, early: [] });
    $("caller").textContent = `${from} is calling you. Do you accept the call?`;
    state.stop.push(media.ring(), timer(RING, () => decline("no answer")));
    log(`${from} is calling.`);
    refresh();
    $("accept").focus();
    if (query.get("accept")) accepting();
  },

  async callResponse({ response, message, sdpAnswer }) {
    if (state.call !== "calling") return;
    if (response !== "accepted") return hangUp(`${state.peer} did not take the call: ${message ?? "declined"}`, false);
    silence();
    await state.link.answered(sdpAnswer);
    running();
  },

  async startCommunication({ sdpAnswer }) {
    if (sdpAnswer) await state.link?.answered(sdpAnswer);
    running();
  },

  stopCommunication() {
    hangUp(state.call === "running" ? `${state.peer} hung up.` : `${state.peer} gave up.`, false);
  },

  async iceCandidate({ candidate }) {
    if (state.link) await state.link.candidate(candidate);
    else state.early.push(candidate);
  },

  async restart({ sdpOffer }) {
    if (state.call === "running") await state.link.restarted(sdpOffer);
  },

  async restartResponse({ sdpAnswer }) {
    await state.link?.answered(sdpAnswer);
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

/** Opens camera and microphone, and a peer; `polite` is who was called. */
async function prepare(polite) {
  const opened = await media.open(query.get("media") === "test", state.name);
  if (opened.why) notice(opened.why);
  state.local = opened.stream;
  state.test = opened.test;
  showSelf();
  state.link = new Peer(state.ice, opened.stream, polite, {
    send,
    log,
    stream: (remote) => ($("videoOutput").srcObject = remote),
    unreachable: () => notice("The relay cannot be reached from this browser. Is its port blocked by a firewall?"),
    changed(connection) {
      log(`Connection: ${connection}`);
      if (connection !== "connected" && state.call === "running") wire.probe();
    },
    dead: () => hangUp("No path to the other side: the relay cannot be reached, or the call was cut. Check the network and call again."),
  });
  for (const candidate of state.early.splice(0)) await state.link.candidate(candidate);
  applySwitches();
  refresh();
  $("flip").hidden = opened.test || !(await devices.hasOtherCamera());
  return state.link;
}

function showSelf() {
  const facing = state.local.getVideoTracks()[0]?.getSettings().facingMode;
  $("videoInput").srcObject = state.local;
  $("self").classList.toggle("picture", state.test || facing === "environment");
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
  const link = await prepare(false);
  if (state.call !== "calling") return;
  state.stop.push(timer(RING + 2000, () => hangUp(`${to} does not answer.`)));
  log(`Calling ${to}.`);
  await link.offer((sdpOffer) => send({ id: "call", from: state.name, to, sdpOffer }));
}

async function accept() {
  const offer = state.offer;
  if (state.call !== "ringing" || !offer) return;
  silence();
  state.offer = null;
  refresh();
  const link = await prepare(true);
  if (state.call !== "ringing") return;
  await link.answer(offer, (sdpAnswer) => send({ id: "incomingCallResponse", from: state.peer, callResponse: "accept", sdpAnswer }));
  running();
}

const placing = () => place().catch((error) => fail(`The call cannot be placed: ${error.message}`));
const accepting = () => accept().catch((error) => fail(`The call cannot be taken: ${error.message}`));

function decline(message = "user declined") {
  send({ id: "incomingCallResponse", from: state.peer, callResponse: "reject", message });
  hangUp(message === "no answer" ? `You missed a call of ${state.peer}.` : undefined, false);
}

function running() {
  state.call = "running";
  log(`In a call with ${state.peer}.`);
  devices.stayAwake(true);
  state.stop.push(stats.watch(state.link.connection, (summary) => view.show((state.last = summary))));
  refresh();
}

/** Ends whatever is going on, and tells the other side unless it knows. */
function hangUp(why, tell = true) {
  if (tell) send({ id: "stop" });
  silence();
  state.link?.close();
  media.close(state.local);
  devices.stayAwake(false);
  $("videoInput").srcObject = $("videoOutput").srcObject = null;
  if (state.call !== "none") log("The call has ended.");
  Object.assign(state, { call: "none", offer: null, early: [], link: null, local: null, last: null });
  $("flip").hidden = true;
  view.show(null);
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

async function flip() {
  const { link, local } = state;
  await devices.flip(local, media.VIDEO, async (track) => {
    if (state.local !== local) return track.stop();
    await link.connection.getSenders().find((sender) => sender.track?.kind === "video").replaceTrack(track);
  });
  if (state.local) showSelf();
}

$("register").onclick = register;
$("call").onclick = placing;
$("accept").onclick = accepting;
$("decline").onclick = () => decline();
$("flip").onclick = () => flip().catch((error) => notice(`The other camera cannot be used: ${error.message}`));
$("notice-close").onclick = () => notice();
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
addEventListener("pagehide", () => wire.send({ id: "leave" }, true));
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
addEventListener("online", () => wire.hurry());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wire.hurry());

$("name").value = query.get("name") ?? "";
// `?peer=bob&call=1` and `?call=bob` call bob.
$("peer").value = query.get("peer") ?? query.get("call") ?? "";
state.wanted = Boolean($("name").value && (query.get("register") || query.get("call")));
refresh();
view.show(null);
view.invite("").catch(() => {});
$($("name").value ? "peer" : "name").focus();
