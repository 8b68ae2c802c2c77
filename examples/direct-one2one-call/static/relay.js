// Relay candidates: one server's alone, and two that talk to each other.

const PACKETS = 20;

/** Asks one TURN URL for a relay candidate. The errors are those of `icecandidateerror`. */
export async function gather(server, patience) {
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
  const errors = [];
  try {
    connection.onicecandidateerror = ({ errorCode, errorText }) => errors.push({ errorCode, errorText });
    const candidate = new Promise((found) => {
      connection.onicecandidate = ({ candidate }) => candidate?.type === "relay" && found(candidate);
      connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && found(null);
      setTimeout(found, patience, null);
    });
    connection.createDataChannel("check");
    await connection.setLocalDescription(await connection.createOffer());
    // What a server says outweighs that another of its addresses is silent.
    const found = await candidate;
    errors.sort((a, b) => (a.errorCode === 701) - (b.errorCode === 701));
    return { candidate: found, errors };
  } finally {
    connection.close();
  }
}

/** A call of this page with itself, relayed on both sides. */
export async function loop(servers, patience) {
  const settings = { iceServers: servers, iceTransportPolicy: "relay" };
  const [caller, callee] = [new RTCPeerConnection(settings), new RTCPeerConnection(settings)];
  try {
    pass(caller, callee);
    pass(callee, caller);
    callee.ondatachannel = ({ channel }) => (channel.onmessage = ({ data }) => channel.send(data));
    const channel = caller.createDataChannel("check", { ordered: false, maxRetransmits: 0 });
    const opened = new Promise((open) => {
      channel.onopen = () => open(true);
      setTimeout(open, patience, false);
    });
    await caller.setLocalDescription(await caller.createOffer());
    await callee.setRemoteDescription(caller.localDescription);
    await callee.setLocalDescription(await callee.createAnswer());
    await caller.setRemoteDescription(callee.localDescription);
    if (!(await opened)) return { opened: false };
    const times = await echoes(channel);
    const roundTrip = times.length ? times.sort((a, b) => a - b)[Math.floor(times.length / 2)] : null;
    return { opened: true, roundTrip, sent: PACKETS, lost: PACKETS - times.length, protocol: await protocol(caller) };
  } finally {
    caller.close();
    callee.close();
  }
}

/** Hands the candidates of one side to the other, once that can take them. */
function pass(from, to) {
  const early = [];
  const hand = (candidate) => to.addIceCandidate(candidate).catch(() => {});
  from.addEventListener("icecandidate", ({ candidate }) => {
    if (!candidate) return;
    if (to.remoteDescription) hand(candidate);
    else early.push(candidate);
  });
  to.addEventListener("signalingstatechange", () => to.remoteDescription && early.splice(0).forEach(hand));
}

/** How many milliseconds each packet took there and back, of those that came. */
async function echoes(channel) {
  const [sent, times] = [new Map(), []];
  let complete;
  const all = new Promise((yes) => (complete = yes));
  channel.onmessage = ({ data }) => {
    if (!sent.has(data)) return;
    times.push(performance.now() - sent.get(data));
    sent.delete(data);
    if (times.length === PACKETS) complete();
  };
  for (let number = 0; number < PACKETS; number += 1) {
    sent.set(String(number), performance.now());
    channel.send(String(number));
    await new Promise((go) => setTimeout(go, 20));
  }
  await Promise.race([all, new Promise((over) => setTimeout(over, 1000))]);
  return times;
}

/** How the selected candidate reaches the relay; Firefox says that only in the URL. */
async function protocol(connection) {
  const report = await connection.getStats();
  const all = [...report.values()];
  const transport = all.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pair = report.get(transport?.selectedCandidatePairId)
    ?? all.find((entry) => entry.type === "candidate-pair" && entry.state === "succeeded" && (entry.selected ?? entry.nominated));
  const local = report.get(pair?.localCandidateId);
  return (local?.relayProtocol ?? /transport=(\w+)/.exec(local?.url ?? "")?.[1] ?? "the relay").toUpperCase();
}
