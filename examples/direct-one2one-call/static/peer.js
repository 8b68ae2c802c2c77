// One call's media: an RTCPeerConnection that finds another path when its own is lost.

/** How long a lost path may come back by itself, how often another is looked for, and for how long. */
const PAUSE = 2000;
const RETRY = 6000;
const GIVE_UP = 40_000;

/**
 * `on` has `send(message)`, `stream(remote)`, `log(text, error)`, `unreachable()`, `changed(state)` and `dead()`. Who is
 * `polite` gives way when both sides look for another path at once.
 */
export class Peer {
  #on;
  #polite;
  #early = [];
  #offering = false;
  #timer = 0;
  #lostAt = 0;

  constructor(configuration, stream, polite, on) {
    this.#on = on;
    this.#polite = polite;
    const connection = new RTCPeerConnection(configuration);
    this.connection = connection;
    stream.getTracks().forEach((track) => connection.addTrack(track, stream));
    connection.onicecandidate = ({ candidate }) => candidate?.candidate && on.send({ id: "onIceCandidate", candidate });
    connection.onicecandidateerror = ({ url, errorCode, errorText }) => on.log(`Relay ${url}: ${errorCode} ${errorText}`, true);
    connection.ontrack = ({ streams }) => on.stream(streams[0]);
    connection.onicegatheringstatechange = () => {
      const relayed = connection.localDescription?.sdp.includes("typ relay");
      if (connection.iceGatheringState === "complete" && configuration.iceTransportPolicy === "relay" && !relayed) on.unreachable();
    };
    connection.onsignalingstatechange = () => this.#watch();
    connection.onconnectionstatechange = () => {
      on.changed(connection.connectionState);
      this.#watch();
    };
  }

  /** Places a call; `tell` sends the offer before there are candidates. */
  async offer(tell) {
    const offer = await this.connection.createOffer();
    tell(offer.sdp);
    await this.connection.setLocalDescription(offer);
  }

  /** Takes a call. */
  async answer(sdpOffer, tell) {
    await this.connection.setRemoteDescription({ type: "offer", sdp: sdpOffer });
    await this.#flush();
    const answer = await this.connection.createAnswer();
    tell(answer.sdp);
    await this.connection.setLocalDescription(answer);
  }

  /** The other side's answer, to a call or to a restart. */
  async answered(sdp) {
    if (this.connection.signalingState !== "have-local-offer") return;
    await this.connection.setRemoteDescription({ type: "answer", sdp });
    await this.#flush();
  }

  async candidate(candidate) {
    if (!this.connection.remoteDescription) return void this.#early.push(candidate);
    // One of a path that is no longer looked for is of no use, and no fault.
    await this.connection.addIceCandidate(candidate).catch(() => {});
  }

  /** Looks for another path, while the call goes on over the old one if that still works. */
  async restart() {
    const { connection } = this;
    if (!connection.remoteDescription || connection.signalingState === "closed" || this.#offering) return;
    this.#offering = true;
    // An offer that is lost on the way has no answer: another one follows.
    this.#lookAgain(this.#polite ? 1.5 * RETRY : RETRY);
    try {
      if (connection.signalingState === "have-local-offer") await connection.setLocalDescription({ type: "rollback" });
      connection.restartIce();
      await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }));
      this.#on.send({ id: "restart", sdpOffer: connection.localDescription.sdp });
    } finally {
      this.#offering = false;
    }
  }

  /** The other side looks for another path. */
  async restarted(sdpOffer) {
    const { connection } = this;
    const both = this.#offering || connection.signalingState !== "stable";
    if (both && !this.#polite) return;
    await connection.setRemoteDescription({ type: "offer", sdp: sdpOffer });
    await connection.setLocalDescription();
    this.#on.send({ id: "restartResponse", sdpAnswer: connection.localDescription.sdp });
  }

  /** Whether there is a path that works, and no offer that waits for its answer. */
  get settled() {
    return this.connection.connectionState === "connected" && this.connection.signalingState === "stable";
  }

  /** Fresh credentials: those of the old path may end with it, so that another is taken in time. */
  async renew(configuration) {
    this.connection.setConfiguration(configuration);
    await this.restart();
  }

  close() {
    clearTimeout(this.#timer);
    this.connection.onconnectionstatechange = this.connection.onsignalingstatechange = null;
    this.connection.close();
  }

  async #flush() {
    for (const candidate of this.#early.splice(0)) await this.connection.addIceCandidate(candidate);
  }

  #watch() {
    const state = this.connection.connectionState;
    if (state === "connected") this.#lostAt = 0;
    if (this.settled) {
      clearTimeout(this.#timer);
      this.#timer = 0;
    } else if (state === "disconnected" || state === "failed") {
      this.#lostAt ||= performance.now();
      this.#lookAgain(this.#polite ? 2 * PAUSE : PAUSE);
    }
  }

  #lookAgain(after) {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      if (this.settled) return;
      if (this.#lostAt && performance.now() - this.#lostAt > GIVE_UP) return this.#on.dead();
      this.#on.log("No path to the other side: looking for another one.", true);
      this.restart().catch((error) => this.#on.log(`No other path: ${error.message}`, true));
    }, after);
  }
}
