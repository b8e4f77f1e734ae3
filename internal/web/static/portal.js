"use strict";
// Copies what can be copied, counts down what runs out, and keeps what is marked as live up to date.
(() => {
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
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    button.textContent = await copy(button.dataset.copy) ? "Copied" : "Failed";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });

  function tick() {
    for (const time of document.querySelectorAll("time[data-left]")) {
      const seconds = Math.max(0, Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
      const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
      time.textContent = hours ? hours + " h " + minutes + " min " + seconds % 60 + " s" : minutes + " min " + seconds % 60 + " s";
    }
  }
  setInterval(tick, 1000);
  tick();

  // What is live is taken from the page as it is now. What somebody writes in or has opened stays as it is.
  let asking = false, again = false;
  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href.split("#")[0], { cache: "no-store", headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll(".live[id]")) {
          const next = page.getElementById(part.id);
          if (!next || part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) continue;
          const open = [...part.querySelectorAll("details")].map((d) => d.open);
          if (part.outerHTML === next.outerHTML) continue;
          const fresh = document.importNode(next, true);
          [...fresh.querySelectorAll("details")].forEach((d, i) => { if (open[i] !== undefined && open.length === fresh.querySelectorAll("details").length) d.open = open[i]; });
          part.replaceWith(fresh);
        }
        tick();
      }
    } catch { /* asked again with the next change */ }
    asking = false;
    if (again) { again = false; setTimeout(refresh, 500); }
  }
  if (!document.querySelector(".live[id]")) return;

  // The gateway says when something has changed; without that, the page looks by itself.
  const seldom = 15000, atLeast = 2000;
  const about = document.querySelector("[data-about]");
  let source = null, timer = 0, last = 0, planned = 0;
  const soon = () => {
    if (planned) return;
    planned = setTimeout(() => { planned = 0; last = Date.now(); refresh(); }, document.querySelector("[data-soon]") ? 0 : Math.max(0, last + atLeast - Date.now()));
  };
  function listen() {
    if (source) source.close();
    source = null;
    clearInterval(timer);
    timer = 0;
    if (document.hidden) return;
    if (!window.EventSource) { timer = setInterval(refresh, seldom); return; }
    source = new EventSource("/portal/live" + (about ? "?about=" + encodeURIComponent(about.dataset.about) : ""));
    source.onmessage = soon;
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED && !timer) timer = setInterval(refresh, seldom);
    };
  }
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => { if (source) source.close(); });
  listen();
})();
