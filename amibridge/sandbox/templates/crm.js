// Keeps the page fresh: on each `changed` the page is fetched again and only what differs is put in, by data-key.
// An element with an unchanged data-version stays as it is, so a recording that plays goes on playing.
"use strict";

const PAUSE = 250; // ms between two refreshes
const skew = Number(document.body.dataset.now) - Date.now();
const live = document.getElementById("live");

function settle(old, fresh) {
  if (fresh.dataset.version !== undefined) {
    if (old.dataset.version !== fresh.dataset.version) old.replaceWith(fresh);
    return;
  }
  const had = new Map(Array.from(old.children, (child) => [child.dataset.key, child]));
  let place = old.firstElementChild;
  for (const child of Array.from(fresh.children)) {
    const mine = had.get(child.dataset.key);
    if (mine === undefined) {
      old.insertBefore(child, place);
      continue;
    }
    had.delete(child.dataset.key);
    if (mine === place) place = place.nextElementSibling;
    else old.insertBefore(mine, place);
    settle(mine, child);
  }
  for (const gone of had.values()) gone.remove();
}

let due = false;
let busy = false;

async function refresh() {
  due = true;
  if (busy) return;
  busy = true;
  while (due) {
    due = false;
    try {
      const answer = await fetch("./", { cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) settle(part, fresh.getElementById(part.id));
      tick();
      if (changes.readyState === EventSource.OPEN) show("on", "live");
    } catch {
      show("lost", "reconnecting");
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  busy = false;
}

function tick() {
  for (const clock of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.floor((Date.now() + skew - Number(clock.dataset.since)) / 1000));
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}

function show(state, text) {
  live.dataset.state = state;
  live.textContent = text;
}

document.addEventListener("animationend", (event) => {
  if (event.target.classList.contains("closed")) event.target.remove();
});
setInterval(tick, 500);

show("waiting", "connecting");
const changes = new EventSource("changes");
changes.addEventListener("open", () => { show("on", "live"); refresh(); });
changes.addEventListener("changed", refresh);
changes.addEventListener("error", () => show("lost", "reconnecting"));
