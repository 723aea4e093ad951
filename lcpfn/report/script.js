"use strict";
(() => {
  const live = document.getElementById("live");
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = theme() === "dark" ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  label();

  // The forecast from which part of a finished run is shown, in one picture.
  for (const choice of document.querySelectorAll(".choices button")) {
    choice.addEventListener("click", () => {
      const card = choice.closest(".card");
      for (const other of card.querySelectorAll(".choices button")) {
        other.setAttribute("aria-pressed", String(other === choice));
      }
      for (const fan of card.querySelectorAll("[data-fan]")) {
        fan.style.display = fan.dataset.fan === choice.value ? "" : "none";
      }
    });
  }

  const element = (plot, name) => {
    const made = document.createElement("div");
    made.className = name;
    made.hidden = true;
    plot.append(made);
    return made;
  };
  const nearest = (numbers, wanted) => {
    let best = -1;
    numbers.forEach((number, index) => {
      if (number === null) return;
      if (best < 0 || Math.abs(number - wanted) < Math.abs(numbers[best] - wanted)) best = index;
    });
    return best;
  };
  const short = (number) => Number(number).toLocaleString("en", { maximumFractionDigits: 2 });

  for (const plot of document.querySelectorAll(".plot.chart, .plot.overview")) {
    const about = JSON.parse(plot.querySelector("script").textContent);
    const [first, last, low, high] = about.range;
    const scaled = (value) => (about.log ? Math.log(Math.max(value, low)) : value);
    const across = (step) => (step - first) / (last - first);
    const down = (value) => {
      const share = (scaled(high) - scaled(value)) / (scaled(high) - scaled(low));
      return Math.min(1, Math.max(0, share));
    };
    const cursor = element(plot, "cursor");
    const point = element(plot, "point");
    const tip = element(plot, "tip");
    let place = null;

    const show = (x, y, lines, aloud) => {
      for (const part of [cursor, point, tip]) part.hidden = false;
      cursor.style.left = point.style.left = `${100 * x}%`;
      point.style.top = `${100 * y}%`;
      tip.replaceChildren(...lines.map((line, index) => {
        const made = document.createElement(index ? "div" : "b");
        made.textContent = line;
        return made;
      }));
      const box = plot.getBoundingClientRect();
      const wanted = x * box.width + (x > 0.55 ? -12 - tip.offsetWidth : 12);
      const least = 8 - box.left;
      const most = document.documentElement.clientWidth - 8 - tip.offsetWidth - box.left;
      tip.style.left = `${Math.max(least, Math.min(most, wanted))}px`;
      tip.style.top = `${Math.max(0, Math.min(box.height - tip.offsetHeight, y * box.height - 20))}px`;
      if (aloud) live.textContent = lines.join(", ");
    };
    const hide = () => {
      for (const part of [cursor, point, tip]) part.hidden = true;
      plot.classList.remove("hovered");
      place = null;
    };

    const written = (value) => Number(value).toLocaleString("en", {
      minimumFractionDigits: about.decimals, maximumFractionDigits: about.decimals,
    });
    const shown = () => {
      const fan = [...plot.querySelectorAll("[data-fan]")].find((g) => g.style.display !== "none");
      return fan && about.fans.find((one) => one.key === fan.dataset.fan);
    };
    const atStep = (step, aloud) => {
      const fan = shown();
      const record = nearest(about.steps, step);
      const known = record < 0 ? first : about.steps[about.steps.length - 1];
      const lines = [];
      let at = null;
      let y = null;
      if (record >= 0 && (step <= known || !fan || !fan.steps.length)) {
        at = about.steps[record];
        y = about.values[record];
        lines.push(`${about.unit} ${short(at)}`, written(y));
      }
      if (fan && fan.steps.length && step > (at === null ? -Infinity : fan.steps[0] - 1e-9)) {
        const index = nearest(fan.steps, step);
        if (at === null) {
          at = fan.steps[index];
          y = fan.median[index];
          lines.push(`${about.unit} ${short(at)}`);
        }
        lines.push(`forecast ${written(fan.median[index])}`);
        lines.push(`88 % within ${written(fan.low[index])} to ${written(fan.high[index])}`);
      }
      if (at === null) return;
      place = at;
      show(across(at), down(y), lines, aloud);
    };
    const atCurve = (x, y, aloud) => {
      const box = plot.getBoundingClientRect();
      let best = null;
      for (const run of about.runs) {
        const index = nearest(run.x, first + x * (last - first));
        if (index < 0) continue;
        const dx = (across(run.x[index]) - x) * box.width;
        const dy = (down(run.v[index]) - y) * box.height;
        const far = Math.hypot(dx, dy);
        if (!best || far < best.far) best = { far, run, index };
      }
      if (!best) return;
      plot.classList.add("hovered");
      for (const curve of plot.querySelectorAll(".curve")) {
        curve.classList.toggle("near", curve.dataset.run === String(best.run.rank));
      }
      const value = best.run.v[best.index];
      place = best.run.x[best.index];
      show(across(place), down(value), [
        `${best.run.rank}. ${best.run.name}`,
        `${Number(value.toPrecision(5))} at ${short(place)} %`,
      ], aloud);
    };

    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const x = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const y = (event.clientY - box.top) / box.height;
      if (about.runs) atCurve(x, y, false);
      else atStep(first + x * (last - first), false);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hide(); return; }
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -5, PageDown: 5 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      if (about.runs) {
        const near = plot.querySelector(".curve.near");
        const now = near ? about.runs.findIndex((r) => String(r.rank) === near.dataset.run) : -1;
        const next = about.runs[Math.min(about.runs.length - 1, Math.max(0, now - by))];
        const end = next.x.length - 1;
        if (end >= 0) atCurve(across(next.x[end]), down(next.v[end]), true);
        return;
      }
      const fan = shown();
      const all = [...about.steps, ...(fan ? fan.steps : [])].sort((a, b) => a - b);
      if (!all.length) return;
      const now = place === null ? -by : nearest(all, place);
      atStep(all[Math.min(all.length - 1, Math.max(0, now + by))], true);
    });
  }
})();
