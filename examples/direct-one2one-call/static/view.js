// What is on the screen, apart from the pictures.

import { rows } from "./stats.js";

const TITLE = document.title;
export const $ = (id) => document.getElementById(id);

export function log(text, error = false) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  line.append(time, text);
  line.classList.toggle("error", error);
  $("console").append(line);
  while ($("console").children.length > 200) $("console").firstChild.remove();
  $("console").scrollTop = $("console").scrollHeight;
}

/** What went wrong and what to do; nothing takes it away. */
export function notice(text) {
  $("notice-text").textContent = text ?? "";
  $("notice").hidden = !text;
  if (text) log(text, true);
}

export function status(text, registration) {
  $("status").textContent = text;
  document.body.dataset.registration = registration;
}

/** Shows the state: what can be pressed, and what the stage says. */
export function refresh(state, connected) {
  const { call, peer } = state;
  document.body.dataset.call = call;
  $("register").disabled = !connected || call !== "none";
  $("call").disabled = !connected || !state.registered || call !== "none";
  $("terminate").disabled = call === "none";
  $("name").disabled = $("peer").disabled = call !== "none";
  $("ringing").hidden = call !== "ringing" || !state.offer;
  $("self").hidden = !state.local;
  const ready = state.registered ? "Ready. Type a name and call." : "Register a name, then call somebody.";
  const hints = { none: ready, calling: `Calling ${peer}…`, ringing: state.offer ? "" : "Connecting…", running: "" };
  $("hint").textContent = hints[call];
  document.title = call === "ringing" && state.offer ? `☎ ${peer} is calling` : TITLE;
  for (const button of $("users").querySelectorAll("button")) button.disabled = $("call").disabled || button.dataset.busy === "true";
}

/** The numbers of the call; none without one. */
export function show(summary) {
  const entries = (summary ? rows(summary) : []).map(([term, text]) => {
    const row = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = text;
    row.append(dt, dd);
    return row;
  });
  if (!summary) {
    const none = document.createElement("div");
    none.className = "none";
    none.textContent = "No call.";
    entries.push(none);
  }
  $("stats").replaceChildren(...entries);
  $("route").hidden = summary?.local !== "relay";
  $("route").textContent = `Relayed over ${(summary?.relayProtocol ?? "?").toUpperCase()}`;
}

/** Who is online, each a button that calls. */
export function users(list, more, self, call) {
  const others = list.filter(({ name }) => name !== self);
  const items = others.map(({ name, busy }) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.busy = String(busy);
    button.textContent = name;
    button.setAttribute("aria-label", busy ? `${name} is busy` : `Call ${name}`);
    button.onclick = () => call(name);
    item.append(button);
    return item;
  });
  $("users").replaceChildren(...items);
  $("online").hidden = false;
  const rest = more > 0 ? `and ${more} more` : "";
  $("nobody").textContent = others.length === 0 ? "Nobody else is here yet." : rest;
  $("nobody").hidden = !$("nobody").textContent;
}

/** A link and its QR code for another device, which then calls `name`. */
export async function invite(name) {
  const query = name ? `?call=${encodeURIComponent(name)}` : "";
  const answer = await fetch(`invite${query}`);
  $("invite").hidden = !answer.ok;
  if (!answer.ok) return;
  $("link").href = $("link").textContent = await answer.text();
  $("qr").src = `invite.svg${query}`;
  $("invite-text").textContent = name ? `Scan this with a phone in the same network: it calls ${name}.` : "Scan this with a phone in the same network.";
}
