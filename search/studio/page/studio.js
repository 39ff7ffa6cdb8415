// The page of the studio: controls make a setting, the server answers what follows from it.

import {ask, base, complain, stop} from "./asking.js";
import {element, histogram, picture, silhouette} from "./drawing.js";

const $ = id => document.getElementById(id);
const KINDS = {depth: "Depth", width: "Width", kernel_size: "Kernel", operator: "Operator", resolution: "Resolution"};
const SEARCHED = {macs: "multiply-accumulates", params: "parameters", peak_activation_bytes: "peak memory, bytes"};
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

let begun, setting, arch = {}, result = {}, pinned = null, candidates = [];
const past = [];
let place = -1;

// Pages: one at a time, named by the address.

function show() {
  const names = [...document.querySelectorAll("[data-page]")].map(page => page.dataset.page);
  const name = names.includes(location.hash.slice(1)) ? location.hash.slice(1) : "studio";
  for (const page of document.querySelectorAll("[data-page]")) page.hidden = page.dataset.page !== name;
  for (const link of document.querySelectorAll("nav a"))
    link.hash === `#${name}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  complain(null);
}
addEventListener("hashchange", show);
show();

// The setting, and what was set before.

function change(patch, done = true) {
  if (Object.keys(patch).some(key => !["bits", "layer_bits", "epochs"].includes(key))) patch = {epochs: 0, ...patch};
  setting = {...setting, ...patch};
  if (done) {
    past.splice(place + 1);
    past.push(setting);
    place = past.length - 1;
  }
  settle();
}

function go(to) {
  place = to;
  setting = past[place];
  settle();
}

function settle() {
  $("undo").disabled = place <= 0;
  $("redo").disabled = place >= past.length - 1;
  fill();
  evaluate();
}

// What follows from it.

// Work that takes longer than a glance shows how far it is; a quick answer needs no bar that flickers.
const GLANCE = 500;
let asked = 0;

function progress(share) {
  const shown = share !== null && performance.now() - asked > GLANCE;
  $("bar").classList.toggle("idle", !shown);
  if (shown) $("bar").value = share;
  return shown;
}

async function evaluate() {
  complain(null);
  const mine = asked = performance.now();
  $("working").textContent = "…";
  progress(null);
  stop("file");
  const against = pinned && {against: pinned.setting};
  try {
    if (!await ask("evaluate", {setting, name: $("extract-name").value, ...against}, hear)) return;
    $("working").textContent = "";
    progress(null);
    say();
    const judged = setting;
    await new Promise(after => setTimeout(after, 300)); // coding takes longer: not between two moves
    if (judged !== setting) return;
    await ask("file", {setting}, piece => {
      if (!piece.figures) return;
      replace(piece.figures[0]);
      table();
      summary();
    });
  } catch (error) {
    if (mine !== asked) return;
    $("working").textContent = "";
    progress(null);
    complain(error);
  }
}

function hear(piece) {
  if (piece.progress !== undefined) {
    $("working").textContent = `${percent(piece.progress)}, ${piece.text}`;
    if (progress(piece.progress) && result.figures) { // what stood there is of another setting
      result.figures = result.figures.map(each => each.key === "score" ? {...each, old: true} : each);
      table();
      summary();
    }
  } else if (piece.text) $("working").textContent = piece.text;
  if (piece.setting) {
    ({arch} = piece);
    result = {...result, difference: null};
    $("command").textContent = piece.command;
    $("notes").replaceChildren(...piece.notes.map(note => element("li", {}, note)));
    fill();
  }
  if (piece.figures) {
    const old = result.figures?.find(each => each.key === "score");
    result = {...result, figures: [...(old ? [{...old, old: true}] : []), ...piece.figures], picture: piece.picture};
    draw();
    table();
  }
  if (piece.score) {
    result.difference = piece.difference ?? null;
    replace(piece.score);
    table();
    summary();
  }
}

function replace(figure) {
  const others = result.figures.filter(each => each.key !== figure.key);
  const at = result.figures.findIndex(each => each.key === figure.key);
  others.splice(at < 0 ? 0 : at, 0, figure);
  result.figures = others;
}

const important = () => result.figures.filter(each => /^(score|latency_ms@.*|params|ofaz_bytes)$/.test(each.key));

function summary() {
  $("summary").textContent = important().map(each => each.old ? "…" : each.key.startsWith("latency") || each.key === "score" ? each.text
    : each.key === "params" ? `${each.text} parameters` : each.text + " .ofaz").join("  ·  ");
}

function say() {
  $("live").textContent = important().map(each => `${each.label} ${each.text}`).join(", ")
    + (result.difference ? `, ${result.difference} against the pinned setting` : "");
}

function changed(now, before) {
  if (!before || now.key === "score") return now.key === "score" ? result.difference ?? "" : "";
  if (!before.value || now.text.startsWith("about") !== before.text.startsWith("about")) return ""; // one is estimated
  const share = now.value / before.value - 1;
  return Math.abs(share) < 0.0005 ? "same" : `${share < 0 ? "−" : "+"}${percent(Math.abs(share), 1)}`;
}

// Breaks, where a column is narrow, before an error and not before a unit.
function unbroken(text) {
  return text.split(/(?<=±|about) /).flatMap((part, at) => [...(at ? [" "] : []), element("span", {class: "unbroken"}, part)]);
}

function table() {
  const head = ["figure", "now", ...(pinned ? ["pinned", "now against pinned"] : [])];
  const rows = result.figures.map(each => {
    const other = pinned?.figures?.find(figure => figure.key === each.key);
    return element("tr", {"data-figure": each.key},
      element("th", {scope: "row"}, each.label, element("small", {}, each.note)),
      element("td", {class: "value"}, ...unbroken(each.old ? "…" : each.text)),
      ...(pinned ? [element("td", {class: "value"}, ...unbroken(other?.text ?? "")), element("td", {class: "change"}, ...unbroken(changed(each, other)))] : []));
  });
  $("figures").replaceChildren(
    element("thead", {}, element("tr", {}, ...head.map(text => element("th", {scope: "col"}, text)))),
    element("tbody", {}, ...rows));
}

// The controls.

function slider(id, label, values, at, change) {
  const input = element("input", {id, type: "range", min: 0, max: values.length - 1, step: 1, value: at});
  const output = element("output", {for: id, id: `${id}-text`});
  const put = () => {
    output.textContent = values[input.value];
    input.setAttribute("aria-valuetext", values[input.value]);
  };
  input.addEventListener("input", () => { put(); change(Number(input.value), false); });
  input.addEventListener("change", () => change(Number(input.value), true));
  put();
  return {box: element("div", {class: "slider"}, element("label", {for: id}, label), output, input), input, output, put};
}

const moved = {}; // sliders of choices, by key
const rows = {}; // what belongs to each layer, by name

function options(select, texts, chosen) {
  select.replaceChildren(...Object.entries(texts).map(([value, text]) => element("option", {value, title: text, selected: value === chosen}, value)));
}

function build() {
  $("title").textContent = begun.title.replace(/^the /, "The ");
  $("lead").textContent = `${begun.data}, judged by ${begun.metric} on validation examples`
    + (begun.devices.length ? `; times predicted for ${begun.devices.join(", ")}` : "; no profiled device, so no times");
  for (const group of ["criterion", "allocation", "granularity"]) {
    const select = element("select", {id: group});
    options(select, begun.menus[group], setting[group]);
    select.addEventListener("change", () => change({[group]: select.value}));
    $("menus").append(element("div", {class: "field"}, element("label", {for: group}, group), select));
  }
  options($("schedule"), begun.menus.schedule, setting.schedule);
  options($("teacher"), begun.teachers, begun.usual_teacher);
  $("bits").replaceChildren(...bitOptions("32, as they are"));
  $("searching").hidden = !begun.choices.length;
  for (const kind of Object.keys(KINDS)) shapes(kind, begun.choices.filter(choice => choice.kind === kind));
  for (const layer of begun.layers) rows[layer.name] = layerOf(layer);
  $("layers").append(...Object.values(rows).map(row => row.box));
  const limits = [...begun.devices.map(name => [`latency_ms@${name}`, `time on ${name}, ms,`]), ...Object.entries(SEARCHED)];
  for (const [key, text] of limits)
    $("limits").append(element("div", {class: "field"}, element("label", {for: `limit-${key}`}, `${text} at most`),
      element("input", {id: `limit-${key}`, type: "number", min: 0, step: "any", "data-limit": key})));
  for (const [id, text, type, value] of [["evaluations", "evaluations", "number", 60], ["search-name", "name", "text", "from-here"]])
    $("limits").append(element("div", {class: "field"}, element("label", {for: id}, text), element("input", {id, type, min: 1, value})));
}

function bitOptions(first) {
  return [element("option", {value: ""}, first), ...[8, 7, 6, 5, 4, 3, 2, 1].map(bits => element("option", {value: bits}, `${bits}`))];
}

function shapes(kind, choices) {
  if (!choices.length) return;
  const group = element("fieldset", {}, element("legend", {}, KINDS[kind]));
  if (choices.length > 1) {
    const marks = Array.from({length: 21}, (_, at) => `${5 * at} %`);
    const all = slider(`all-${kind}`, `all, of the range`, marks, 20, (at, done) => {
      const values = choices.map(choice => [choice.key, choice.values[Math.round(at / 20 * (choice.values.length - 1))]]);
      change({arch: {...setting.arch, ...Object.fromEntries(values)}}, done);
    });
    group.append(all.box);
  }
  const each = choices.map(choice => {
    const one = slider(`choice-${choice.key}`, choice.name, choice.values.map(String), choice.values.length - 1,
      (at, done) => change({arch: {...setting.arch, [choice.key]: choice.values[at]}}, done));
    moved[choice.key] = {...one, values: choice.values};
    return one.box;
  });
  group.append(choices.length > 8 ? element("details", {}, element("summary", {}, `each of ${choices.length}`), ...each) : element("div", {}, ...each));
  $("shape").append(group);
}

function layerOf({name, shape: sizes, precision}) {
  const id = `layer-${name}`, marks = Array.from({length: 100}, (_, at) => `${at} %`);
  const one = slider(id, "sparsity", marks, 0, (at, done) => change({layers: {...setting.layers, [name]: at / 100}}, done));
  one.input.setAttribute("aria-label", `sparsity of ${name}`);
  const bits = element("select", {id: `bits-${name}`, "aria-label": `bits of ${name}`}, ...bitOptions("as every layer"));
  bits.addEventListener("change", () => {
    const {[name]: _, ...others} = setting.layer_bits;
    change({layer_bits: bits.value ? {...others, [name]: Number(bits.value)} : others});
  });
  const release = element("button", {type: "button", class: "small", onclick: () => {
    const {[name]: _, ...others} = setting.layers;
    change({layers: others});
  }}, "As the whole");
  release.setAttribute("aria-label", `sparsity of ${name} as the whole network's`);
  const drawn = element("div", {class: "drawn"}), text = element("p", {class: "shape"}, sizes.join(" × "));
  const file = precision ? [element("p", {class: "shape precision"}, `${precision} in the file in fewer bits`)] : [];
  const box = element("div", {class: "layer", role: "group", "aria-label": name}, element("h3", {}, name.replace(/\.weight$/, "")), text, ...file, drawn,
    one.box, element("div", {class: "row"}, element("div", {class: "field"}, element("label", {for: `bits-${name}`}, "bits"), bits), release));
  return {...one, box, bits, release, drawn, text};
}

// Puts the setting in the controls, but for the one that is being moved.
function fill() {
  const busy = document.activeElement;
  if (busy !== $("sparsity") || place < 0 || past[place] === setting) $("sparsity").value = Math.round(100 * setting.sparsity);
  $("sparsity-text").textContent = percent(setting.sparsity);
  $("sparsity").setAttribute("aria-valuetext", percent(setting.sparsity));
  for (const group of ["criterion", "allocation", "granularity", "schedule"]) $(group).value = setting[group];
  const teacher = setting.teacher ?? begun.usual_teacher;
  $("teacher").value = teacher;
  $("taught").textContent = begun.teachers[teacher] + (teacher === "none" ? "" : ` ${percent(begun.distill)} of the loss is against its outputs.`);
  $("bits").value = setting.bits ?? "";
  if (setting.epochs) $("epochs").value = setting.epochs;
  for (const [key, one] of Object.entries(moved)) {
    const value = arch[key], there = value !== undefined || !Object.keys(arch).length;
    one.input.disabled = !there;
    const at = one.values.indexOf(setting.arch[key] ?? value ?? one.values.at(-1));
    one.input.value = at;
    one.put();
    if (!there) one.output.textContent = "left out";
  }
  for (const [name, row] of Object.entries(rows)) {
    const own = setting.layers[name];
    row.release.disabled = own === undefined;
    row.bits.value = setting.layer_bits[name] ?? "";
    if (own !== undefined) { row.input.value = Math.round(100 * own); row.put(); }
  }
}

// The pictures.

function draw() {
  const {picture: now} = result, other = pinned?.picture;
  const sides = [["now", now], ...(other ? [["pinned", other]] : [])].filter(([, side]) => side.silhouette.length);
  $("silhouette").replaceChildren(...sides.map(([name, side]) => element("figure", {}, silhouette(side.silhouette), element("figcaption", {}, name))));
  $("filters").replaceChildren(...(now.filters ? [
    element("p", {class: "hint"}, "Filters of the first layer: blue above 0, orange below."),
    element("ul", {class: "filters"}, ...now.filters.map((each, at) => element("li", {}, picture(each, `filter ${at + 1}`))))] : []));
  const there = Object.fromEntries(now.layers.map(layer => [layer.name, layer]));
  for (const [name, row] of Object.entries(rows)) {
    const layer = there[name];
    row.box.hidden = !layer;
    if (!layer) continue;
    const values = layer.values === null ? "" : `, ${layer.values} values`;
    row.text.textContent = `${layer.shape.join(" × ")}, ${percent(layer.sparsity, 1)} of ${layer.weights.toLocaleString("en-US")} removed${values}`;
    if (setting.layers[name] === undefined) { row.input.value = Math.min(99, Math.round(100 * layer.sparsity)); row.put(); }
    const kept = `mask of ${name}: ${percent(layer.sparsity, 1)} removed`;
    const twin = other?.layers.find(each => each.name === name);
    row.drawn.className = twin ? "drawn two" : "drawn";
    row.drawn.replaceChildren(
      element("figure", {}, picture(layer.image, layer.image.signed ? `weights of ${name}` : kept), element("figcaption", {}, "now")),
      ...(twin ? [element("figure", {}, picture(twin.image, `pinned: ${percent(twin.sparsity, 1)} of ${name} removed`), element("figcaption", {}, "pinned"))] : []),
      histogram(layer.kept, layer.before, layer.range, `histogram of ${name}, before and after`));
  }
  if (now.history.length) {
    const last = now.history.at(-1);
    $("history").textContent = now.history.length > 1 ? `${now.history.length} epochs: loss ${now.history[0].loss.toFixed(3)} to ${last.loss.toFixed(3)}` : `1 epoch: loss ${last.loss.toFixed(3)}`;
  } else $("history").textContent = "Weights are removed as the schedule says while the network trains on. Moving shape or sparsity begins anew.";
}

// What a person does with it.

$("sparsity").addEventListener("input", () => change({sparsity: $("sparsity").value / 100}, false));
$("sparsity").addEventListener("change", () => change({sparsity: $("sparsity").value / 100}));
$("bits").addEventListener("change", () => change({bits: $("bits").value ? Number($("bits").value) : null}));
$("schedule").addEventListener("change", () => change({schedule: $("schedule").value}));
$("teacher").addEventListener("change", () => change({teacher: $("teacher").value === begun.usual_teacher ? null : $("teacher").value}));
$("undo").addEventListener("click", () => go(place - 1));
$("redo").addEventListener("click", () => go(place + 1));
$("reset").addEventListener("click", () => change(begun.blank));
$("tune").addEventListener("click", () => change({epochs: Math.max(1, Math.round(Number($("epochs").value)) || 1)}));
addEventListener("keydown", event => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input[type=text], input[type=number]")) return;
  const key = event.key.toLowerCase(), again = key === "y" || (key === "z" && event.shiftKey);
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  if (again && place < past.length - 1) go(place + 1);
  if (!again && place > 0) go(place - 1);
});

async function pin(what) {
  pinned = what && {setting: what};
  $("pin").setAttribute("aria-pressed", String(Boolean(what)));
  $("pin").textContent = what ? "Unpin" : "Pin to compare";
  if (!what) { stop("pin"); stop("pinned_file"); table(); draw(); return; }
  const mine = pinned;
  try {
    await ask("pin", {setting: what}, piece => {
      if (piece.figures) Object.assign(mine, {figures: piece.figures, picture: piece.picture});
      if (piece.score) mine.figures = [piece.score, ...mine.figures];
    });
    draw();
    evaluate();
    await ask("pinned_file", {setting: what}, piece => {
      if (!piece.figures) return;
      mine.figures = mine.figures.map(each => each.key === piece.figures[0].key ? piece.figures[0] : each);
      table();
    });
  } catch (error) { complain(error); }
}
$("pin").addEventListener("click", () => pin(pinned ? null : setting));

function list() {
  const whole = row => ({...begun.blank, ...row.setting});
  $("candidates").replaceChildren(...candidates.map(row => element("li", {}, `${row.name}: ${Object.values(row.figures).join(", ")}`,
    element("div", {class: "buttons"},
      element("button", {type: "button", class: "small", "aria-label": `Load ${row.name}`, onclick: () => change(whole(row))}, "Load"),
      element("button", {type: "button", class: "small", "aria-label": `Pin ${row.name}`, onclick: () => pin(whole(row))}, "Pin")))));
}

$("keep").addEventListener("click", async () => {
  complain(null);
  try {
    await ask("keep", {name: $("keep-name").value, setting}, piece => { if (piece.candidates) { ({candidates} = piece); list(); } });
    $("live").textContent = `kept as ${$("keep-name").value}`;
  } catch (error) { complain(error); }
});

$("extract").addEventListener("click", async () => {
  complain(null);
  $("extract").disabled = true;
  try {
    await ask("extract", {name: $("extract-name").value, setting}, piece => {
      if (piece.text) $("extract-said").textContent = piece.text;
      if (!piece.folder) return;
      $("extract-said").textContent = `${piece.folder}: ${piece.files.join(", ")}`;
      $("live").textContent = `extracted to ${piece.folder}`;
      $("extract-code").hidden = false;
      $("extract-code").textContent = `import numpy, onnxruntime\nfolder = ${JSON.stringify(piece.folder)}\nsession = onnxruntime.InferenceSession(f"{folder}/model.onnx")\n`
        + `check = numpy.load(f"{folder}/verify.npz")\nfeed = {each.name: check[each.name] for each in session.get_inputs()}\n(logits,) = session.run(["logits"], feed)\nprint(abs(logits - check["logits"]).max())`;
    });
  } catch (error) {
    $("extract-said").textContent = "";
    complain(error);
  }
  $("extract").disabled = false;
});

$("search").addEventListener("click", async () => {
  complain(null);
  $("search").disabled = true;
  $("stop").disabled = false;
  const limits = Object.fromEntries([...document.querySelectorAll("[data-limit]")].filter(input => input.value).map(input => [input.dataset.limit, Number(input.value)]));
  const body = {setting, limits, evaluations: Number($("evaluations").value), name: $("search-name").value};
  try {
    const ended = await ask("search", body, piece => {
      if (piece.text) $("search-said").textContent = piece.text;
      if (piece.command) { $("search-command").hidden = false; $("search-command").textContent = piece.command; }
      if (piece.chosen) found(piece.chosen);
    });
    $("search-said").textContent = ended ? "done" : "stopped; the same search goes on from there";
  } catch (error) { complain(error); }
  $("search").disabled = false;
  $("stop").disabled = true;
});
$("stop").addEventListener("click", () => stop("search"));

function found({search, rows: each}) {
  $("live").textContent = `${search} found ${each.length} subnets`;
  $("found").replaceChildren(...each.map((row, at) => {
    const limits = Object.entries(row.limits).map(([key, value]) => `${key} ≤ ${value}`).join(", ") || "no limit";
    const ms = Object.values(row.measured).map(value => `, ${value.toPrecision(3)} ms measured`).join("");
    return element("li", {}, `${row.score}${ms} (${limits})`, element("div", {class: "buttons"},
      element("button", {type: "button", class: "small", "aria-label": `Take subnet ${at + 1} of ${search}`,
        onclick: () => change({...begun.blank, arch: row.arch})}, "Take it")));
  }));
}

$("extract-name").addEventListener("change", () => evaluate());
$("copy").addEventListener("click", async () => {
  await navigator.clipboard?.writeText($("command").textContent).catch(() => null);
  $("live").textContent = "command copied";
});

try {
  const answer = await fetch(`${base}state`);
  begun = await answer.json();
  if (begun.error) throw new Error(begun.error);
  ({setting, candidates} = begun);
  build();
  list();
  past.push(setting);
  place = 0;
  settle();
} catch (error) { complain(error); }
