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

  // Forms with a question; htmx has no part in them.
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
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

  // Live: the kernel names topics that have changed; parts of the page that follow one ask for themselves anew:
  //   <section id="x" hx-get="/…" hx-trigger="live-runs from:body" hx-select="#x" hx-swap="outerMorph">
  const mark = document.getElementById("live-mark");
  const offline = document.getElementById("offline");
  if (document.body.dataset.live) {
    const source = new EventSource(document.body.dataset.live);
    source.addEventListener("open", () => { mark.hidden = false; offline.hidden = true; });
    source.addEventListener("error", () => { mark.hidden = true; offline.hidden = false; });
    source.addEventListener("changed", (event) => {
      if (document.hidden) return;
      for (const topic of event.data.split(" ")) document.body.dispatchEvent(new CustomEvent("live-" + topic));
    });
    addEventListener("pagehide", () => source.close());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden)
        for (const topic of ["runs", "schedules", "queues", "plugins", "health"])
          document.body.dispatchEvent(new CustomEvent("live-" + topic));
    });
  }

  // Charts: <div class="chart" data-chart='{"at": […], "series": [{"label", "tone", "values"}]}' data-hx-morph-skip-children>
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const drawn = new Map();
  function draw(box) {
    const told = box.dataset.chart;
    const data = JSON.parse(told);
    drawn.get(box)?.plot.destroy();
    const plot = new uPlot(
      {
        width: box.clientWidth,
        height: box.clientHeight || 160,
        padding: [8, 8, 0, 0],
        cursor: { y: false },
        legend: { live: true },
        scales: { y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, 1)] } },
        axes: [
          { stroke: colour("faint"), grid: { show: false }, ticks: { show: false } },
          { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, size: 44,
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6] },
        ],
        series: [
          { value: (_plot, at) => (at == null ? "–" : new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })) },
          ...data.series.map((one) => ({
            label: one.label, stroke: colour(one.tone), fill: colour(one.tone + "-soft"), width: 1.5, points: { show: false },
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
