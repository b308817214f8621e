// Keep the page true: one stream says that something has changed, then the page is fetched again and what differs is put
// in. The stream carries no data, so it costs the same however many jobs pass, and every page has one way to be drawn.
import { morph } from "./morph.js";
import { holdRows } from "./rows.js";

const AGAIN = 2000; // milliseconds between two tries while the server or its store is away
const TICK = 10000; // milliseconds after which a quiet page is fetched, for its relative times

let stream = null;
let paused = false;
let busy = false;
let wanted = false;
let timer = 0;

export function follow() {
  const main = document.querySelector("main[data-live]");
  const box = document.querySelector("[data-status]");
  if (!main || !box) return;
  box.hidden = false;
  say("Live");
  box.querySelector("[data-pause]").addEventListener("click", (event) => {
    paused = !paused;
    event.target.setAttribute("aria-pressed", String(paused));
    event.target.textContent = paused ? "Go on" : "Pause";
    if (paused) close();
    else open();
    say(paused ? "Paused" : "Live", paused ? "waits" : "");
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  document.addEventListener("emp:refresh", () => refresh());
  // A page that is left gives its stream back: a browser has six connections to a server, no more.
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  toEnd(main);
  open();
}

function open() {
  if (paused || document.hidden || stream) return;
  const path = document.querySelector("main").dataset.live;
  stream = new EventSource(path);
  // Whatever happened before the stream stood has to be fetched.
  stream.addEventListener("open", () => refresh());
  // What no job changes is looked at now and then only.
  if (!("rarely" in document.querySelector("main").dataset)) stream.addEventListener("changed", () => refresh());
  stream.addEventListener("error", () => {
    say("No connection, trying again", "lost");
    if (stream?.readyState === EventSource.CLOSED) {
      reopen();
      refresh(); // says why: the session is over, or the store is away
    }
  });
  timer ||= setInterval(() => refresh(), TICK);
}

function close() {
  stream?.close();
  stream = null;
  clearInterval(timer);
  timer = 0;
}

function reopen() {
  close();
  setTimeout(open, AGAIN);
}

async function refresh() {
  if (busy) {
    wanted = true;
    return;
  }
  busy = true;
  wanted = false;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.redirected) location.reload(); // the session is over: the page leads to the login by itself
    else if (answer.ok) show(await answer.text());
    else refused(answer.status);
  } catch {
    say("No connection, trying again", "lost");
  }
  busy = false;
  if (wanted) refresh();
}

function refused(status) {
  if (status === 404) {
    say("It is not kept any more", "waits");
    close();
  } else {
    say(status === 503 ? "The store is not available, trying again" : `The server answered ${status}`, "lost");
    setTimeout(() => refresh(), AGAIN);
  }
}

function show(text) {
  if (paused) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const main = document.querySelector("main");
  const next = fresh.querySelector("main");
  if (!next) return;
  holdRows(main, next);
  const log = main.querySelector(".log");
  const atEnd = log && log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  morph(main, next);
  morph(document.querySelector("footer"), fresh.querySelector("footer"));
  if (document.title !== fresh.title) document.title = fresh.title;
  if (!log || atEnd) toEnd(main);
  say("Live");
}

// The end of a log is what one looks for.
function toEnd(main) {
  const log = main.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
}

function say(words, kind = "") {
  const box = document.querySelector("[data-status]");
  const text = box.querySelector("[data-status-text]");
  box.className = `live ${kind}`.trim();
  if (text.textContent !== words) text.textContent = words;
}
