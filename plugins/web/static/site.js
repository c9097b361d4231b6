// What pages do beyond links and forms: follow changes, draw charts, ask before what cannot be undone, dark and light.
"use strict";
(() => {
  const root = document.documentElement;
  const isDark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    drawAll();
  });

  // On a small screen the list of pages scrolls: to where one is.
  document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // Forms with a question; htmx has no part in them.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  // A choice that takes effect at once: the form around it is sent.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  // One tick for all boxes of a table.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    for (const box of document.querySelectorAll(event.target.dataset.all)) box.checked = event.target.checked;
  });
  // A part that must not change under the hand, data-held-by='[name="run"]:checked': it stands still while it has such.
  for (const step of ["htmx:before:request", "htmx:before:swap"])
    document.addEventListener(step, (event) => {
      const part = event.target.closest?.("[data-held-by]");
      if (part?.querySelector(part.dataset.heldBy)) event.preventDefault();
    });
  // A drawing wider than the screen begins where it is about: data-begins-at=".this".
  for (const box of document.querySelectorAll("[data-begins-at]")) {
    const about = box.querySelector(box.dataset.beginsAt)?.getBoundingClientRect(), around = box.getBoundingClientRect();
    if (about) box.scrollBy(about.x + about.width / 2 - around.x - around.width / 2, about.y + about.height / 2 - around.y - around.height / 2);
  }
  // What somebody has opened or closed stays so when the part around it is drawn anew.
  htmx.registerExtension("mainspring", {
    htmx_before_morph_attr: (box, change) => !(change.attrName === "open" && box.matches("details")),
  });

  // Live: the kernel names topics that have changed; parts of the page that follow one ask for themselves anew:
  //   <section id="x" hx-get="/…" hx-trigger="live-runs from:body" hx-select="#x" hx-swap="outerMorph">
  const mark = document.getElementById("live-mark");
  const offline = document.getElementById("offline"), refused = document.getElementById("refused");
  // Else the browser would show a page of its own, and this one be gone with all that it tells.
  const stay = (event) => {
    if (offline.hidden || !event.target.closest("form, a[href^='/']")) return;
    event.preventDefault();
    offline.textContent = "The kernel does not answer: nothing was done. What you see is as it was; it is tried again.";
  };
  document.addEventListener("submit", stay);
  document.addEventListener("click", (event) => { if (event.target.closest("a")) stay(event); });
  const tell = (topics) => topics.forEach((topic) => document.body.dispatchEvent(new CustomEvent("live-" + topic)));
  if (document.body.dataset.live) {
    let source = null, again = 0;
    const whyRefused = async () => {
      const given = new AbortController();
      const status = await fetch(document.body.dataset.live, { signal: given.signal }).then((answer) => answer.status, () => 0);
      given.abort();
      refused.hidden = status !== 401;
      offline.hidden = status === 401;
    };
    const follow = () => {
      clearTimeout(again);
      source = new EventSource(document.body.dataset.live);
      source.addEventListener("open", () => { mark.hidden = false; offline.hidden = refused.hidden = true; });
      source.addEventListener("error", () => {
        mark.hidden = true;
        offline.hidden = !refused.hidden;
        // A browser tries again by itself after a broken line, not after a refusal.
        if (source?.readyState === EventSource.CLOSED) whyRefused().then(() => { again = setTimeout(follow, 5000); });
      });
      source.addEventListener("changed", (event) => tell(event.data.split(" ")));
    };
    const leave = () => {
      clearTimeout(again);
      source?.close();
      source = null;
    };
    // A page that nobody sees holds no connection: a browser has six for all its tabs of one site.
    const turn = () => {
      leave();
      if (document.hidden) return;
      follow();
      tell(["runs", "schedules", "queues", "plugins", "health"]);
    };
    document.addEventListener("visibilitychange", turn);
    addEventListener("pagehide", leave);
    addEventListener("pageshow", (event) => { if (event.persisted) turn(); });
    if (!document.hidden) follow();
  }

  // Charts: <div class="chart" data-chart='{"at": […], "series": [{"label", "tone", "values"}]}' data-hx-morph-skip-children>
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const minuteOf = (at) => new Date(at * 1000).toISOString().slice(11, 16);
  const drawn = new Map();
  function draw(box) {
    const told = box.dataset.chart;
    const data = JSON.parse(told);
    drawn.get(box)?.plot.destroy();
    const plot = new uPlot(
      {
        width: box.clientWidth,
        height: box.clientHeight || 190,
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        padding: [8, 20, 0, 0],
        cursor: { y: false },
        legend: { live: true },
        scales: { x: { range: (_plot, least, most) => [least - 30, most + 30] }, y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { stroke: colour("faint"), grid: { show: false }, ticks: { show: false }, size: 26, space: 60,
            values: (_plot, splits) => splits.map(minuteOf) },
          { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, size: 44,
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6] },
        ],
        series: [
          { value: (_plot, at) => (at == null ? "–" : minuteOf(at)) },
          ...data.series.map((one) => ({
            label: one.label, stroke: colour(one.tone), fill: colour(one.bars ? one.tone : one.tone + "-soft"), width: one.bars ? 0 : 1.5, points: { show: false },
            paths: one.bars ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined,
          })),
        ],
      },
      [data.at, ...data.series.map((one) => one.values)],
      box,
    );
    drawn.set(box, { plot, told });
  }
  function drawAll(isForced = true) {
    for (const box of drawn.keys()) if (!box.isConnected) drawn.delete(box);
    for (const box of document.querySelectorAll(".chart"))
      if (isForced || drawn.get(box)?.told !== box.dataset.chart) draw(box);
  }
  drawAll();
  document.addEventListener("htmx:after:swap", () => drawAll(false));
  document.addEventListener("htmx:after:settle", () => drawAll(false));
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => drawAll(), 100);
  });
})();
