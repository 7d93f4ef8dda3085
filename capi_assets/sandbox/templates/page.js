"use strict";
const live = document.querySelector("main");
const gone = document.getElementById("gone");

// Only parts that changed are replaced, so that selections, focus and scrolling survive.
async function refresh() {
  try {
    const answer = await fetch("/?part=live", { cache: "no-store" });
    const fresh = document.createElement("main");
    fresh.innerHTML = await answer.text();
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const old = live.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!old || old.outerHTML === part.outerHTML) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      const scrolled = old.querySelector(".scroll")?.scrollLeft;
      old.replaceWith(part);
      if (focused) document.getElementById(focused)?.focus();
      if (scrolled) part.querySelector(".scroll").scrollLeft = scrolled;
    }
    gone.hidden = true;
  } catch {
    gone.hidden = false;
  }
}

document.addEventListener("click", async (click) => {
  const button = click.target.closest("button[data-url]");
  if (!button) return;
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  button.disabled = true;
  await fetch(button.dataset.url, {
    method: button.dataset.method,
    headers: { "Content-Type": "application/json" },
    body: button.dataset.body,
  }).catch(() => {});
  button.disabled = false;
  await refresh();
});

setInterval(() => { if (!document.hidden) refresh(); }, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
