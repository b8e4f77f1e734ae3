"use strict";
// Keeps the checkout page up to date: asks for the status, and takes the page's new content when it has changed.
(() => {
  const every = 2000, whenClosed = 15000, atMost = 30000;
  const live = () => document.getElementById("live");
  if (!live()) return;
  document.documentElement.classList.add("js");

  let skew = Date.parse(live().dataset.now) - Date.now(); // the server's clock less ours, in milliseconds
  let wait = every, timer = 0, asking = false, told = "", source = null;

  // The page has the words of its language.
  const say = (text, value) => (JSON.parse(live().dataset.words)[text] || text).replace("%s", value);
  const get = (path) => fetch(path, { cache: "no-store", credentials: "omit" });

  async function refresh() {
    const answer = await get(location.pathname + location.search);
    if (!answer.ok) throw new Error("status " + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("live");
    if (!next) throw new Error("no content");
    const chosen = live().querySelector("input[name=way]:checked");
    const focused = live().contains(document.activeElement) && document.activeElement.id;
    live().replaceWith(document.importNode(next, true));
    const again = chosen && document.getElementById(chosen.id);
    if (again) again.checked = true;
    const focus = focused && document.getElementById(focused);
    if (focus) focus.focus();
    document.title = page.title;
    announce();
    tick();
    offerWallet();
    goBack();
  }

  // A wallet in the browser (EIP-1193) is asked for the right chain, and gets the transfer filled in. The payer confirms it
  // there; what counts is what arrives on the chain.
  let sent = "", provider = window.ethereum;
  addEventListener("eip6963:announceProvider", (event) => { provider = provider || event.detail.provider; offerWallet(); });
  dispatchEvent(new Event("eip6963:requestProvider"));

  function offerWallet() {
    const box = live().querySelector(".wallet");
    if (!box || !provider) return;
    box.hidden = false;
    if (sent === box.dataset.value + box.dataset.data) tellWallet(box, say("Your wallet has sent it. This page notices when the chain has it."), true);
  }

  function tellWallet(box, text, done) {
    box.querySelector("[data-wallet-note]").textContent = text;
    box.querySelector("[data-wallet]").hidden = Boolean(done);
  }

  async function askWallet(box) {
    const { chain, name, to, value, data } = box.dataset;
    const ask = (method, params) => provider.request(params ? { method, params } : { method });
    const [from] = await ask("eth_requestAccounts");
    const on = async () => BigInt(await ask("eth_chainId")) === BigInt(chain);
    if (!await on()) {
      try {
        await ask("wallet_switchEthereumChain", [{ chainId: chain }]);
      } catch (error) {
        if (error.code === 4902) throw new Error(say("Your wallet does not know %s. Add it there, and try again.", name));
        throw error;
      }
      if (!await on()) throw new Error(say("Your wallet is not on %s. Nothing was sent.", name));
    }
    const transaction = { from, to, value, chainId: chain };
    if (data) transaction.data = data;
    await ask("eth_sendTransaction", [transaction]);
  }

  async function payWithWallet(button) {
    const box = button.closest(".wallet"), what = box.dataset.value + box.dataset.data;
    button.disabled = true;
    tellWallet(box, say("Please look into your wallet."));
    let text = say("Your wallet has sent it. This page notices when the chain has it."), done = true;
    try {
      await askWallet(box);
      sent = what;
    } catch (error) {
      done = false;
      text = error && error.code === 4001 ? say("You declined it in your wallet. Nothing was sent.") : error && error.message || say("Your wallet did not send it.");
    }
    button.disabled = false;
    const now = live().querySelector(".wallet");
    if (now) tellWallet(now, text, done);
  }

  // Takes a payer who has seen the payment complete back to the shop, unless they stay.
  let returning = 0;
  function goBack() {
    const link = live().querySelector("[data-return] a"), note = live().querySelector("[data-returning]");
    if (!link || !note || returning) return;
    let seconds = 10;
    note.hidden = false;
    const count = () => { const text = live().querySelector("[data-returning] span"); if (text) text.textContent = say("You are taken back in %s s.", seconds); };
    count();
    returning = setInterval(() => {
      if (--seconds > 0) return count();
      clearInterval(returning);
      location.assign(link.href);
    }, 1000);
  }

  // Says what has changed to those who cannot see it.
  function announce() {
    const parts = [...live().querySelectorAll("#state, #state + p, main > .note:not([hidden])")].map((e) => e.textContent);
    const text = parts.join(". ");
    if (text !== told) document.getElementById("announce").textContent = told = text;
  }

  async function poll() {
    clearTimeout(timer);
    if (asking) return;
    if (document.hidden) return; // visibilitychange goes on
    asking = true;
    try {
      const answer = await get(location.pathname + "/status");
      if (!answer.ok) throw new Error("status " + answer.status);
      const status = await answer.json();
      skew = Date.parse(status.server_time) - Date.now();
      if (status.version !== live().dataset.version) await refresh();
      offline(false);
      wait = status.status === "pending" || status.status === "detected" ? every : whenClosed;
    } catch {
      offline(true);
      wait = Math.min(wait * 2, atMost);
    }
    asking = false;
    clearTimeout(timer);
    timer = setTimeout(poll, listening() ? atMost : wait);
  }

  // While the gateway says when something has changed, it is asked seldom: it may have failed to notice.
  const listening = () => source && source.readyState === EventSource.OPEN;
  function listen() {
    if (source) source.close();
    source = null;
    if (!window.EventSource || document.hidden || live().dataset.open !== "true") return;
    source = new EventSource("/live/" + location.pathname.split("/").pop());
    source.onmessage = async (event) => {
      if (event.data === live().dataset.version) { offline(false); return; }
      try {
        await refresh();
        offline(false);
        if (live().dataset.open !== "true") { source.close(); source = null; wait = whenClosed; clearTimeout(timer); timer = setTimeout(poll, wait); }
      } catch { poll(); }
    };
    source.onopen = () => { offline(false); wait = every; };
    source.onerror = () => { clearTimeout(timer); timer = setTimeout(poll, every); }; // it connects again, or never
  }

  function offline(yes) {
    const note = live().querySelector(".offline");
    if (note) note.hidden = !yes;
  }

  let over = false;
  function tick() {
    const until = live().querySelector("[data-expires]");
    const left = live().querySelector("[data-left]");
    if (!until || !left) return;
    const seconds = Math.max(0, Math.ceil((Date.parse(until.dateTime) - Date.now() - skew) / 1000));
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
    left.textContent = say("%s left", (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(seconds % 60));
    left.hidden = false;
    live().querySelector("[data-until]").hidden = true;
    left.title = new Date(until.dateTime).toLocaleString();
    if (seconds === 0 && !over) poll();
    over = seconds === 0;
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // no clipboard without https
      const box = document.createElement("textarea");
      box.value = text;
      box.readOnly = true;
      box.className = "unseen";
      document.body.append(box);
      box.select();
      const done = document.execCommand("copy");
      box.remove();
      return done;
    }
  }

  document.addEventListener("click", async (event) => {
    const pay = event.target.closest("[data-wallet]");
    if (pay) { payWithWallet(pay); return; }
    if (event.target.closest("[data-stay]")) {
      clearInterval(returning);
      live().querySelector("[data-returning]").hidden = true;
      return;
    }
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const done = await copy(button.dataset.copy);
    button.textContent = say(done ? "Copied" : "Failed");
    setTimeout(() => { button.textContent = say("Copy"); }, 1600);
  });
  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) { wait = every; poll(); } });
  addEventListener("pagehide", () => { if (source) source.close(); });
  addEventListener("offline", () => offline(true));
  addEventListener("online", () => { wait = every; poll(); });

  told = [...live().querySelectorAll("#state, #state + p, main > .note:not([hidden])")].map((e) => e.textContent).join(". ");
  setInterval(tick, 1000);
  tick();
  offerWallet();
  timer = setTimeout(poll, every);
  listen();
})();
