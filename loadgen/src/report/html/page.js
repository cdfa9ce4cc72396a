"use strict";
// Shows the nearest point of each line below the pointer.
const tip = document.getElementById("tip");
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const lines = [...svg.querySelectorAll("path[data-points]")].filter(p => !p.classList.contains("thin"))
    .map(p => ({ name: p.dataset.name, points: JSON.parse(p.dataset.points) }));
  svg.addEventListener("mousemove", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const text = lines.filter(l => l.points.length > 0).map(l => {
      let best = l.points[0];
      for (const point of l.points) if (Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
      return l.name + ": " + best[2];
    });
    tip.textContent = text.join("\n");
    tip.style.display = "block";
    const left = event.clientX + 16;
    tip.style.left = (left + tip.offsetWidth > innerWidth ? event.clientX - tip.offsetWidth - 12 : left) + "px";
    tip.style.top = event.clientY + 12 + "px";
  });
  svg.addEventListener("mouseleave", () => { tip.style.display = "none"; });
}
