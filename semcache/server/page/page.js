// Asks the server for its figures again and again, and shows them. Asked and not pushed: a connection that is kept open
// would keep the server from ending, and proxies cut it.

import { setScale, show } from "./show.js";
import { clock } from "./words.js";

const EVERY_MS = 2000;
const LONGEST_MS = 30000;
const PATIENCE_MS = 10000;
const KEY = "semcache-key";
const THEMES = ["auto", "light", "dark"];

const byId = (id) => document.getElementById(id);
const link = byId("link");
const figures = byId("figures");
const access = byId("access");

let shown = "15m";
let failures = 0;
let timer = 0;
let asking = false;
let version = null;
let latest = null;

function setLink(state, text) {
  link.dataset.state = state;
  link.textContent = text;
  figures.classList.toggle("stale", state === "lost");
}

async function ask() {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(`live?window=${shown}`, {
    headers: key ? { Authorization: `Bearer ${key}` } : {},
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  // In words for a person at a form: the server's own are for programs.
  if (answer.status === 401) return { refused: "The server does not know this key." };
  if (answer.status === 403) return { refused: "This key is bound to a tenant. The figures need one that is bound to none." };
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return (await answer.json()) ?? {};
}

// What the server answers, or why it does not.
async function asked() {
  try {
    return await ask();
  } catch (error) {
    return { failed: error };
  }
}

async function look() {
  clearTimeout(timer);
  // A page in the background asks nothing; it looks again when it is seen. Of two looks at once the first goes on.
  if (document.hidden || asking) return;
  asking = true;
  const window = shown;
  const told = await asked();
  asking = false;
  if (told.refused) askForKey(told.refused);
  else if (told.failed) waitLonger();
  else if (window !== shown) look();
  else take(told);
}

function take(told) {
  // First, so that an answer which cannot be shown, such as another program's behind the same address, stops nothing.
  timer = setTimeout(look, EVERY_MS);
  failures = 0;
  try {
    // After an upgrade of the server its page is another one.
    if (version && told.semcache && version !== told.semcache) location.reload();
    version = told.semcache;
    access.hidden = true;
    figures.hidden = false;
    show(told);
    latest = told.now;
    setLink("live", `live, as of ${clock(told.now)}`);
  } catch (error) {
    console.error(error);
    setLink("lost", `the answer cannot be shown (${error.message}), next try in ${EVERY_MS / 1000} s`);
  }
}

function waitLonger() {
  failures += 1;
  // Not all pages at the same moment, since a server that comes back has enough to do.
  const wait = Math.min(LONGEST_MS, EVERY_MS * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
  setLink("lost", `no answer${latest === null ? "" : ` since ${clock(latest)}`}, next try in ${Math.ceil(wait / 1000)} s`);
  timer = setTimeout(look, wait);
}

function askForKey(message) {
  const had = sessionStorage.getItem(KEY) !== null;
  sessionStorage.removeItem(KEY);
  figures.hidden = true;
  access.hidden = false;
  byId("refused").textContent = had ? message : "";
  setLink("wait", "waits for a key");
  byId("key").focus();
}

access.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  byId("key").value = "";
  look();
});

function press(buttons, pressed) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
}

const windows = document.querySelectorAll("[data-window]");
for (const button of windows) {
  button.addEventListener("click", () => {
    shown = button.dataset.window;
    press(windows, button);
    look();
  });
}
const scales = document.querySelectorAll("[data-scale]");
for (const button of scales) {
  button.addEventListener("click", () => {
    press(scales, button);
    setScale(button.dataset.scale);
  });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
}
setTheme(THEMES.includes(localStorage.getItem("semcache-theme")) ? localStorage.getItem("semcache-theme") : "auto");
byId("theme").addEventListener("click", () => {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  localStorage.setItem("semcache-theme", theme);
  setTheme(theme);
});

document.addEventListener("visibilitychange", look);
addEventListener("online", look);
look();
