"use strict";
// Copies what is shown as code, and narrows the page to what somebody looks for.
(() => {
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // no clipboard without https
      const box = document.createElement("textarea");
      box.value = text;
      box.readOnly = true;
      document.body.append(box);
      box.select();
      const done = document.execCommand("copy");
      box.remove();
      return done;
    }
  }
  for (const code of document.querySelectorAll("pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      button.textContent = await copy(code.textContent) ? "Copied" : "Failed";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    code.before(button);
  }

  const field = document.getElementById("search"), found = document.getElementById("found");
  const parts = [...document.querySelectorAll("main article, #problems tbody tr")].map((part) => ({
    part, text: part.textContent.toLowerCase(), link: document.querySelector('nav a[href="#' + part.id + '"]'),
  }));
  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { part, text, link } of parts) {
      const fits = words.every((w) => text.includes(w));
      part.hidden = !fits;
      if (link) link.parentElement.hidden = !fits;
      count += fits ? 1 : 0;
    }
    found.textContent = words.length ? (count ? count + (count === 1 ? " place" : " places") : "Nothing matches.") : "";
  }
  field.closest("[hidden]").hidden = false;
  field.addEventListener("input", search);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
    if (event.key === "Escape" && document.activeElement === field) { field.value = ""; search(); }
  });
  // A link to a part that the search has hidden shows it.
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.closest("[hidden]")) { field.value = ""; search(); target.scrollIntoView(); }
  });
})();
