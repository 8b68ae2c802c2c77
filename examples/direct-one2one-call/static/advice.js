// What to do about what the check found.

export const UNKNOWN = "Something unexpected: reload the page, and see the browser's console and the server's log.";
export const NO_WEBRTC = "Use a current browser. Some companies and some in-app browsers switch WebRTC off: open the page in the browser itself.";
export const INSECURE = "Open the page by https:// (or as localhost): browsers give camera and microphone to such pages only.";
export const REGISTER = "The server takes nobody in at the moment: try again later.";
export const NO_RELAY = "The server has no TURN server to name: start it without --no-turn, or set STUNNER_PUBLIC_ADDR.";
export const LOOP = "The relay takes the browser in, and does not carry data between two of its clients: its peer policy refuses its own relayed addresses, or a firewall keeps the server from its own relay ports. cargo run --release --example turncheck tells which.";
export const LOSS = "Packets are lost between this browser and the relay: look at the network (Wi-Fi, VPN), and at the server's load.";

/** getUserMedia has failed. */
export function camera(name) {
  const known = {
    NotAllowedError: "Allow camera and microphone beside the address bar, and in the system's privacy settings. Until then a test picture is sent.",
    NotFoundError: "No camera or no microphone is connected. A test picture is sent instead.",
    NotReadableError: "Another program has the camera or the microphone: close it. Until then a test picture is sent.",
  };
  return known[name] ?? "Camera and microphone cannot be used: a test picture is sent instead.";
}

/** The WebSocket does not open, though the page was loaded. */
export function socket(protocol) {
  const proxies = "A proxy between here and the server may not pass WebSockets on: let it (Upgrade and Connection headers).";
  if (protocol !== "https:") return proxies;
  return `${proxies} iPhones and iPads refuse WebSockets to a certificate that was only clicked away: give the server a certificate that the device trusts (--tls-cert, --tls-key).`;
}

/** A code of icecandidateerror: what the TURN server says, or 701 where none is heard. */
export function candidate(code, url) {
  const known = {
    300: "The TURN server sends clients to another one: name that one in the configuration.",
    401: "The TURN server refuses the credentials: the page's server and the TURN server have different secrets or realms (STUNNER_SHARED_SECRET, STUNNER_REALM), or their clocks differ.",
    403: "The TURN server forbids this user or this network an allocation.",
    437: "The TURN server believes that this address has an allocation: a load balancer must keep a client at one server.",
    438: "The TURN server's nonces are stale at once: a load balancer must keep a client at one server.",
    441: "The allocation belongs to other credentials: reload the page.",
    486: "This user has as many allocations as the TURN server allows: wait until old ones expire, or raise the quota.",
    508: "The TURN server has no room: give it more relay ports.",
  };
  return known[code] ?? unreachable(url);
}

function unreachable(url) {
  const server = "cargo run --release --example turncheck tells what is wrong from a command line.";
  if (url.startsWith("turns:")) return `TURN over TLS cannot be reached: its port is blocked, or the browser does not trust its certificate, which nobody can click away. The URL must have the name in the certificate. ${server}`;
  if (/transport=tcp/i.test(url)) return `TURN over TCP cannot be reached: is the TCP port open in every firewall, and is the address one that this device reaches? ${server}`;
  return `TURN over UDP cannot be reached: is the UDP port open in every firewall, and is the address one that this device reaches? Networks of companies and hotels often block UDP; TURN over TCP or TLS helps there. ${server}`;
}
