// Elements, images on canvases and small charts in SVG, in the colors of the style sheet.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function color(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
}

// Canvases are drawn again when the colors change.
const drawn = new Map();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [canvas, image] of drawn) canvas.isConnected ? paint(canvas, image) : drawn.delete(canvas);
});

export function paint(canvas, image) {
  drawn.set(canvas, image);
  canvas.width = image.columns;
  canvas.height = image.rows;
  const bytes = atob(image.pixels), context = canvas.getContext("2d");
  const data = context.createImageData(image.columns, image.rows);
  const [none, more, less] = [color("page"), color("accent"), color("star")];
  for (let at = 0; at < bytes.length; at++) {
    const value = bytes.charCodeAt(at);
    const share = image.signed ? Math.min(1, Math.abs(value - 127.5) / 127.5) : value / 255;
    const full = image.signed && value < 127.5 ? less : more;
    for (let part = 0; part < 3; part++) data.data[4 * at + part] = none[part] + share * (full[part] - none[part]);
    data.data[4 * at + 3] = 255;
  }
  context.putImageData(data, 0, 0);
}

export function picture(image, label) {
  const canvas = element("canvas", {role: "img", "aria-label": label});
  paint(canvas, image);
  return canvas;
}

// Values before as an outline, and what is left as bars; heights by square root, so that a spike hides nothing.
export function histogram(kept, before, range, label) {
  const width = 240, height = 64, high = Math.sqrt(Math.max(1, ...kept, ...(before ?? [])));
  const step = width / kept.length;
  const image = shape("svg", {viewBox: `0 0 ${width} ${height + 14}`, role: "img", "aria-label": label});
  kept.forEach((count, at) => {
    const tall = Math.sqrt(count) / high * height;
    if (count) image.append(shape("rect", {class: "kept", x: at * step, y: height - tall, width: Math.max(1, step - 0.8), height: tall}));
  });
  if (before) {
    const points = before.flatMap((count, at) => {
      const y = height - Math.sqrt(count) / high * height;
      return [`${at * step},${y}`, `${(at + 1) * step},${y}`];
    });
    image.append(shape("polyline", {class: "before", points: points.join(" ")}));
  }
  image.append(shape("line", {class: "axis", x1: 0, x2: width, y1: height, y2: height}));
  const end = range.toPrecision(2);
  for (const [x, text, anchor] of [[0, `−${end}`, "start"], [width / 2, "0", "middle"], [width, end, "end"]])
    image.append(shape("text", {x, y: height + 12, "text-anchor": anchor}, text));
  return image;
}

export function silhouette(layers) {
  const image = shape("svg", {viewBox: "0 0 320 132", role: "img", "aria-label": "widths of layers, beside the supernet's"});
  for (const layer of layers) {
    const group = shape("g", {}, shape("title", {}, layer.title));
    for (const bar of layer.bars) group.append(shape("rect", {class: bar.style, x: bar.x, y: bar.y, width: bar.width, height: bar.height, rx: 1.5}));
    image.append(group);
  }
  return image;
}

// A chart of lines: series are {name, points: [[x, y], ...], steps}. x and y are {title, low, high, ticks: [[at, text]], log}.
export function lines(series, x, y, label, mark = null) {
  const narrow = innerWidth < 600;
  const width = narrow ? 380 : 900, height = narrow ? 250 : 330, left = narrow ? 72 : 56, right = 14, top = 12, bottom = 40;
  const scale = (value, axis, from, to) => {
    const [v, low, high] = axis.log ? [value, axis.low, axis.high].map(Math.log10) : [value, axis.low, axis.high];
    return from + (v - low) / (high - low || 1) * (to - from);
  };
  const at = ([a, b]) => [scale(a, x, left, width - right), scale(b, y, height - bottom, top)];
  const image = shape("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
  const named = []; // heights of marks that have a text: none is over another
  for (const [value, text] of y.ticks.toReversed()) {
    const [, v] = at([x.low, value]);
    image.append(shape("line", {class: "axis", x1: left, x2: width - right, y1: v, y2: v}));
    if (named.some(other => Math.abs(other - v) < 16)) continue;
    named.push(v);
    image.append(shape("text", {x: left - 6, y: v + 4, "text-anchor": "end"}, text));
  }
  const every = Math.ceil(36 * x.ticks.length / (width - left - right)); // marks that have room
  for (const [value, text] of x.ticks.filter((_, index) => index % every === 0)) image.append(shape("text", {x: at([value, y.low])[0], y: height - bottom + 16, "text-anchor": "middle"}, text));
  image.append(shape("text", {x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle"}, x.title));
  image.append(shape("text", {x: 12, y: (height - bottom + top) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(height - bottom + top) / 2})`}, y.title));
  if (mark !== null) {
    const [v] = at([mark, y.low]);
    image.append(shape("line", {class: "mark", x1: v, x2: v, y1: top, y2: height - bottom}));
  }
  series.forEach((each, index) => {
    const points = each.steps
      ? each.points.flatMap((point, number) => number ? [[point[0], each.points[number - 1][1]], point] : [point])
      : each.points;
    image.append(shape("polyline", {class: `line s${index % 8}`, points: points.map(point => at(point).join(",")).join(" ")}));
  });
  return image;
}

export function legend(names) {
  return element("ul", {class: "legend"}, ...names.map((name, index) => element("li", {},
    shape("svg", {viewBox: "0 0 26 10", "aria-hidden": "true"}, shape("line", {class: `line s${index % 8}`, x1: 0, x2: 26, y1: 5, y2: 5})), name)));
}
