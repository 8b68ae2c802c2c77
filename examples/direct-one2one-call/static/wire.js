// Messages to and from the server: over a WebSocket or, where the browser opens none, over POST and EventSource.

/** How long a connection may take to open, and a ping to be answered. */
const PATIENCE = 5000;
const PING = 10_000;

/** One connection over a WebSocket. Calls `on.open()`, `on.message(text)` and `on.close()`. */
export function socket(on) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${location.host}/one2one`);
  opened.onopen = on.open;
  opened.onmessage = ({ data }) => on.message(data);
  opened.onclose = on.close;
  return { kind: "WebSocket", send: (text) => opened.send(text), close: () => opened.close() };
}

/** The same over POST and EventSource. The server's first event is a key that every POST shows. */
export function events(on) {
  const source = new EventSource("one2one/events");
  let key = "";
  let sent = Promise.resolve();
  source.addEventListener("session", ({ data }) => {
    key = data;
    on.open();
  });
  source.onmessage = ({ data }) => on.message(data);
  source.onerror = on.close;
  const post = async (body) => {
    const answer = await fetch("one2one/messages", { method: "POST", headers: { authorization: `Bearer ${key}` }, body, keepalive: body.length < 10_000 });
    if (answer.status === 404) on.close();
    else if (!answer.ok) on.message(JSON.stringify({ id: "error", message: `A message was refused (${answer.status}).` }));
  };
  return {
    kind: "EventSource",
    // One after another, so that they arrive in order; the last words do not wait.
    send: (text, last = false) => (sent = (last ? post(text) : sent.then(() => post(text))).catch(on.close)),
    close: () => source.close(),
  };
}

/** A connection that comes back. Calls `opened(kind)`, `received(message)` and `lost(seconds until the next try)`. */
export class Wire {
  #kinds = [socket, events];
  #tries = 0;
  #link = null;
  #again = 0;
  #pong = 0;
  #on;
  isOpen = false;

  constructor(on) {
    this.#on = on;
    new Worker("ticker.js#" + PING).onmessage = () => this.probe();
    this.#connect();
  }

  send(message, last) {
    if (this.isOpen) this.#link.send(JSON.stringify(message), last);
  }

  /** Closes what there is; another connection follows. */
  close() {
    this.#lost(this.#link);
  }

  /** Asks the server whether it is there: a connection may be dead long before the browser says so. */
  probe() {
    if (!this.isOpen) return;
    this.send({ id: "ping" });
    this.#pong ||= setTimeout(() => this.close(), PATIENCE);
  }

  /** After a change of networks: no more waiting. */
  hurry() {
    if (this.#link) this.probe();
    else this.#connect();
  }

  #connect() {
    clearTimeout(this.#again);
    const link = { close() {} };
    this.#link = link;
    const late = setTimeout(() => this.#lost(link), PATIENCE);
    const on = {
      open: () => {
        clearTimeout(late);
        if (this.#link !== link) return;
        this.isOpen = true;
        this.#tries = 0;
        this.#on.opened(link.kind);
      },
      message: (data) => {
        if (this.#link !== link) return;
        clearTimeout(this.#pong);
        this.#pong = 0;
        const message = JSON.parse(data);
        if (message.id !== "pong") this.#on.received(message);
      },
      close: () => {
        clearTimeout(late);
        this.#lost(link);
      },
    };
    try {
      Object.assign(link, this.#kinds[0](on));
    } catch {
      on.close();
    }
  }

  #lost(link) {
    if (!link || this.#link !== link) return;
    link.close();
    clearTimeout(this.#pong);
    const opened = this.isOpen;
    Object.assign(this, { isOpen: false });
    this.#link = null;
    this.#pong = 0;
    // What never opened may be what this browser does not do: the other way is tried, and the first time at once.
    if (!opened) this.#kinds.reverse();
    const wait = !opened && this.#tries === 0 ? 0 : Math.min(10, 2 ** Math.max(0, this.#tries - 1));
    this.#tries += 1;
    if (opened || wait) this.#on.lost(wait);
    this.#again = setTimeout(() => this.#connect(), wait * 1000);
  }
}
