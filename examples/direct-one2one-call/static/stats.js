// What the browser says about the running call, in words.

/** Reads getStats again and again; `show` gets a summary once a second. Returns a function that stops it. */
export function watch(connection, show) {
  let before;
  const read = async () => {
    if (connection.connectionState === "closed") return;
    const now = summary(await connection.getStats());
    show(before ? rates(now, before) : now);
    before = now;
  };
  const timer = setInterval(() => read().catch(() => {}), 1000);
  return () => clearInterval(timer);
}

/** The selected pair and the sums of both directions. */
function summary(report) {
  const all = [...report.values()];
  const transport = all.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pair = report.get(transport?.selectedCandidatePairId)
    ?? all.find((entry) => entry.type === "candidate-pair" && entry.state === "succeeded" && (entry.selected ?? entry.nominated));
  const local = report.get(pair?.localCandidateId);
  const remote = report.get(pair?.remoteCandidateId);
  const sum = (type, key) => all.filter((entry) => entry.type === type).reduce((total, entry) => total + (entry[key] ?? 0), 0);
  const video = all.find((entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  const remoteIn = all.find((entry) => entry.type === "remote-inbound-rtp" && entry.roundTripTime !== undefined);
  return {
    at: performance.now(),
    local: local?.candidateType,
    remote: remote?.candidateType,
    localAddress: local && `${local.address ?? local.ip}:${local.port}`,
    remoteAddress: remote && `${remote.address ?? remote.ip}:${remote.port}`,
    relayProtocol: local?.relayProtocol ?? fromUrl(local?.url),
    roundTrip: pair?.currentRoundTripTime ?? remoteIn?.roundTripTime,
    bytesSent: sum("outbound-rtp", "bytesSent"),
    bytesReceived: sum("inbound-rtp", "bytesReceived"),
    packetsReceived: sum("inbound-rtp", "packetsReceived"),
    packetsLost: sum("inbound-rtp", "packetsLost"),
    framesDecoded: video?.framesDecoded ?? 0,
    width: video?.frameWidth,
    height: video?.frameHeight,
  };
}

/** Firefox names the server's URL in place of the protocol. */
function fromUrl(url) {
  return /transport=(\w+)/.exec(url ?? "")?.[1];
}

function rates(now, before) {
  const seconds = (now.at - before.at) / 1000;
  const received = now.packetsReceived - before.packetsReceived;
  const lost = now.packetsLost - before.packetsLost;
  return {
    ...now,
    up: ((now.bytesSent - before.bytesSent) * 8) / seconds,
    down: ((now.bytesReceived - before.bytesReceived) * 8) / seconds,
    loss: received + lost > 0 ? Math.max(0, lost) / (received + lost) : 0,
    fps: (now.framesDecoded - before.framesDecoded) / seconds,
  };
}

/** Rows of text for people. */
export function rows(stats) {
  const rate = (bits) => bits === undefined ? "…" : bits > 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
  const through = stats.local === "relay" ? "through the relay" : stats.local ? `direct (${stats.local})` : "…";
  return [
    ["Path", through],
    ["To the relay over", (stats.relayProtocol ?? "…").toUpperCase()],
    ["Pair", stats.local ? `${stats.local} ⇄ ${stats.remote}` : "…"],
    ["Relayed addresses", stats.localAddress ? `${stats.localAddress} ⇄ ${stats.remoteAddress}` : "…"],
    ["Round trip", stats.roundTrip === undefined ? "…" : `${(stats.roundTrip * 1000).toFixed(1)} ms`],
    ["Sending", rate(stats.up)],
    ["Receiving", rate(stats.down)],
    ["Loss", stats.loss === undefined ? "…" : `${(stats.loss * 100).toFixed(1)} %`],
    ["Picture", stats.width ? `${stats.width}×${stats.height}, ${Math.round(stats.fps ?? 0)} fps` : "…"],
  ];
}
