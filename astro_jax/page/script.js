"use strict";
// Maps of objects: the point nearest to the pointer, or chosen by the arrow keys, shows its curve.
for (const map of document.querySelectorAll(".map")) {
  const data = JSON.parse(map.querySelector("script").textContent);
  const svg = map.querySelector("svg"), card = map.querySelector(".card");
  const plot = card.querySelector("svg"), title = card.querySelector("b"), note = card.querySelector("span");
  const points = [...svg.querySelectorAll(".point")];
  const [width, height, left, right, top, bottom] = data.box;
  let chosen = -1;

  const make = (name, attributes, text) => {
    const node = document.createElementNS(plot.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    plot.append(node);
  };
  const short = (value, digits) => String(Number(value.toPrecision(digits)));

  const draw = (curve) => {
    plot.replaceChildren();
    make("rect", { class: "frame", x: left, y: top, width: width - left - right, height: height - top - bottom });
    if (!curve.x.length) return;
    const [x0, x1] = [Math.min(...curve.x), Math.max(...curve.x)];
    const [y0, y1] = [Math.min(...curve.y), Math.max(...curve.y)];
    const at = (value, low, high, from, to) =>
      (high > low ? from + 5 + (to - from - 10) * (value - low) / (high - low) : (from + to) / 2).toFixed(1);
    const [low, high] = data.down ? [top, height - bottom] : [height - bottom, top];
    const ends = low < high ? [low + 10, high - 2] : [low - 2, high + 10];
    for (const [value, y] of [[y0, ends[0]], [y1, ends[1]]])
      make("text", { x: left - 4, y, "text-anchor": "end" }, short(value, 4));
    make("text", { x: left, y: height - 18 }, short(x0, 6));
    make("text", { x: width - right, y: height - 18, "text-anchor": "end" }, short(x1, 6));
    make("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, data.xlabel);
    make("text", { x: left, y: 11 }, data.ylabel);
    const parts = new Map();
    curve.x.forEach((x, k) => {
      const group = curve.g ? curve.g[k] : 0;
      const dot = `M${at(x, x0, x1, left, width - right)} ` + (low < high
        ? at(curve.y[k], y0, y1, low, high)
        : at(-curve.y[k], -y1, -y0, high, low)) + "h0";
      parts.set(group, (parts.get(group) || "") + dot);
    });
    for (const [group, d] of parts) make("path", { class: `dots k${group % 10}`, d });
  };

  const choose = (k) => {
    if (k === chosen || !points.length) return;
    if (chosen >= 0) points[chosen].classList.remove("chosen");
    chosen = (k + points.length) % points.length;
    const point = points[chosen], curve = data.curves[point.dataset.i];
    point.classList.add("chosen");
    title.textContent = curve.name;
    note.textContent = curve.note;
    draw(curve);
  };

  const nearest = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = -1, least = 24 * 24;
    points.forEach((point, k) => {
      const square = (point.dataset.x - place.x) ** 2 + (point.dataset.y - place.y) ** 2;
      if (square < least) [best, least] = [k, square];
    });
    if (best >= 0) choose(best);
  };

  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen < 0 ? 0 : chosen + step);
  });
}
