// Pages for a class: each form asks for what it computes, and draws it as it comes.

import {ask, complain} from "./asking.js";
import {element, histogram, legend, lines, picture} from "./drawing.js";

const $ = id => document.getElementById(id);
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const reduced = matchMedia("(prefers-reduced-motion: reduce)");
const share = value => percent(value, Number.isInteger(100 * value) ? 0 : 1);
const tens = [0, 0.25, 0.5, 0.75, 1].map(at => [at, percent(at)]);

function asked(form) {
  const values = {};
  for (const input of form.elements) {
    if (!input.name) continue;
    values[input.name] = input.dataset.percent === undefined ? Number(input.value) : Number(input.value) / 100;
  }
  return values;
}

function lesson(name, begin, hear, end = () => null) {
  const form = document.querySelector(`form[data-lesson=${name}]`), working = form.parentElement.querySelector("[data-working]");
  for (const input of form.querySelectorAll("input[type=range]")) {
    const output = form.querySelector(`output[for=${input.id}]`);
    const put = () => { output.textContent = input.dataset.percent === undefined ? input.value : `${input.value} %`; };
    input.addEventListener("input", put);
  }
  form.addEventListener("submit", async event => {
    event.preventDefault();
    complain(null);
    begin();
    working.textContent = "…";
    try {
      const done = await ask(name, asked(form), piece => {
        if (piece.text) working.textContent = piece.text;
        hear(piece, working);
      });
      if (!done) return;
      working.textContent = "";
      end();
      $("live").textContent = `${name}: done`;
    } catch (error) {
      working.textContent = "";
      complain(error);
    }
  });
  return form;
}

// Lottery tickets: a slider over the densities that are trained.

const KINDS = {ticket: "ticket", reinit: "its mask on new weights", random: "a random mask"};
let levels = [], tickets = [];

function showTickets() {
  const at = Math.min(Number($("tickets-density").value), levels.length - 1), density = levels[at];
  $("tickets-density-text").textContent = share(density);
  $("tickets-density").setAttribute("aria-valuetext", share(density));
  const here = tickets.filter(ticket => ticket.density === density);
  $("tickets-cards").replaceChildren(...here.map(ticket => element("div", {"data-kind": ticket.kind}, element("h3", {}, KINDS[ticket.kind]),
    element("div", {}, ticket.text), picture(ticket.image, `mask of the first layer, ${KINDS[ticket.kind]} at ${share(density)}`))));
  const series = Object.entries(KINDS).map(([kind, name]) => ({name,
    points: tickets.filter(ticket => ticket.kind === kind || ticket.density === 1).map(ticket => [1 / ticket.density, ticket.score])}))
    .filter(each => each.points.length);
  const low = Math.min(0.9, ...tickets.map(ticket => ticket.score)), marks = levels.map(level => [1 / level, share(level)]);
  $("tickets-chart").replaceChildren(
    lines(series, {title: "density", low: 1, high: 1 / levels.at(-1), log: true, ticks: marks},
      {title: "validation accuracy", low, high: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 0.9, 1].filter(value => value >= low).map(value => [value, percent(value)])},
      "accuracy over density, of tickets and controls", 1 / density),
    legend(series.map(each => each.name)));
}
lesson("tickets", () => { levels = []; tickets = []; }, (piece, working) => {
  if (piece.levels) { ({levels} = piece); $("tickets-density").max = levels.length - 1; }
  if (!piece.ticket) return;
  tickets.push(piece.ticket);
  $("tickets-density").disabled = false;
  $("tickets-density").value = levels.indexOf(piece.ticket.density);
  working.textContent = `${tickets.length} of ${3 * levels.length - 2} networks trained`;
  showTickets();
});
$("tickets-density").addEventListener("input", showTickets);

// Regularizers: a slider over epochs, and an animation.

let epochs = new Map(), timer = null;

function showEpoch() {
  const at = Number($("regularizers-epoch").value);
  $("regularizers-epoch-text").textContent = `${at} of ${$("regularizers-epoch").max}`;
  $("regularizers-cards").replaceChildren(...[...epochs].map(([name, each]) => {
    const row = each[Math.min(at, each.length - 1)];
    return element("div", {"data-regularizer": name}, element("h3", {}, name),
      element("div", {}, `${row.text}, ${percent(row.zeros, 1)} zero, ${percent(row.rows)} of the units gone`),
      picture(row.image, `weights of ${name} at epoch ${row.epoch}`),
      histogram(row.histogram, null, row.range, `histogram of ${name} at epoch ${row.epoch}`), element("p", {class: "hint"}, row.words));
  }));
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => {
    const slider = $("regularizers-epoch");
    if (Number(slider.value) >= Number(slider.max)) return play(false);
    slider.value = Number(slider.value) + 1;
    showEpoch();
  }, 350) : null;
  $("regularizers-play").textContent = on ? "Pause" : "Play";
}
lesson("regularizers", () => { play(false); epochs = new Map(); }, ({epoch}, working) => {
  if (!epoch) return;
  if (!epochs.has(epoch.name)) epochs.set(epoch.name, []);
  epochs.get(epoch.name).push(epoch);
  const slider = $("regularizers-epoch");
  slider.disabled = $("regularizers-play").disabled = false;
  slider.max = Math.max(...[...epochs.values()].map(each => each.length - 1));
  slider.value = slider.max;
  working.textContent = `${epoch.name}, epoch ${epoch.epoch}`;
  showEpoch();
}, () => {
  if (reduced.matches) return;
  $("regularizers-epoch").value = 0;
  play(true);
});
$("regularizers-epoch").addEventListener("input", () => { play(false); showEpoch(); });
$("regularizers-play").addEventListener("click", () => {
  if (!timer && $("regularizers-epoch").value === $("regularizers-epoch").max) $("regularizers-epoch").value = 0;
  play(!timer);
});

// Deep Compression: a row a stage, its bytes as a bar.

lesson("compression", () => $("compression-table").tBodies[0].replaceChildren(), ({stage}) => {
  if (!stage) return;
  const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  bar.setAttribute("viewBox", "0 0 200 14");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `${percent(stage.ofaz / stage.dense, 1)} of the dense bytes`);
  const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({class: "bar", width: Math.max(1, 200 * stage.ofaz / stage.dense), height: 14, rx: 2})) part.setAttribute(key, value);
  bar.append(part);
  const bytes = count => count.toLocaleString("en-US");
  $("compression-table").tBodies[0].append(element("tr", {"data-stage": stage.name}, element("th", {scope: "row"}, stage.name), element("td", {class: "bars"}, bar),
    element("td", {}, bytes(stage.huffman)), element("td", {class: "value"}, bytes(stage.ofaz)), element("td", {class: "unbroken"}, percent(stage.density, 1)), element("td", {}, stage.text)));
});

// Initialization: the deviation of each layer's outputs, and their histograms.

let signals = [];
function showSignals() {
  const values = signals.flatMap(each => each.layers.map(layer => layer.deviation)), count = signals[0].layers.length;
  const low = Math.min(0.1, ...values), high = Math.max(10, ...values);
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) ticks.push([10 ** power, String(10 ** power)]);
  $("initializers-chart").replaceChildren(
    lines(signals.map(each => ({name: each.name, points: each.layers.map((layer, at) => [at + 1, layer.deviation])})),
      {title: "layer", low: 1, high: Math.max(2, count), ticks: Array.from({length: count}, (_, at) => [at + 1, String(at + 1)])},
      {title: "deviation of outputs", low, high, log: true, ticks}, "deviation of outputs by layer, for each initializer"),
    legend(signals.map(each => each.name)));
  $("initializers-cards").replaceChildren(...signals.map(each => element("div", {"data-initializer": each.name}, element("h3", {}, each.name),
    ...each.layers.filter((_, at) => at === 0 || at === count - 1 || at === Math.floor(count / 2)).map(layer => element("div", {},
      element("div", {class: "hint"}, `${layer.name}: deviation ${layer.deviation.toPrecision(2)}, ${percent(layer.active)} above 0`),
      histogram(layer.histogram, null, 4 * layer.deviation, `outputs of ${layer.name} under ${each.name}`))),
    element("p", {class: "hint"}, each.text))));
}
lesson("initializers", () => { signals = []; }, ({initializer}) => { if (initializer) { signals.push(initializer); showSignals(); } });

// Schedules: steps of sparsity, redrawn as the sliders move.

let courses = [];
const schedules = lesson("schedules", () => { courses = []; }, ({schedule}) => { if (schedule) courses.push(schedule); }, () => {
  const series = courses.map(({name, points}) => ({name, steps: true, points: [[0, 0], ...points, [1, points.at(-1)[1]]]}));
  $("schedules-chart").replaceChildren(
    lines(series, {title: "share of the training", low: 0, high: 1, ticks: tens}, {title: "sparsity", low: 0, high: 1, ticks: tens}, "sparsity over the training, by schedule"),
    legend(series.map(each => each.name)));
  $("schedules-texts").replaceChildren(...courses.flatMap(({name, text, points}) => [element("dt", {}, `${name}: ${points.length} event${points.length > 1 ? "s" : ""}`), element("dd", {}, text)]));
});
schedules.addEventListener("input", () => schedules.requestSubmit());
addEventListener("hashchange", () => { if (location.hash === "#schedules" && !courses.length) schedules.requestSubmit(); });
if (location.hash === "#schedules") schedules.requestSubmit();
