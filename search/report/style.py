"""The look of the report, light and dark, and the lines of script that draw its figures in those colours."""

CSS = """
:root {
  --page: #fbfbfa; --card: #ffffff; --ink: #1c1d21; --muted: #63656e; --grid: #e6e6e3; --faint: #b9bac0;
  --accent: #2f5bea; --soft: #dfe6fd; --second: #0f9d8a; --star: #e0552b; --dot: #8ea3e8; --limit: #8a6d1f;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131418; --card: #1b1d22; --ink: #eceded; --muted: #a2a5b0; --grid: #2d3037; --faint: #565a66;
    --accent: #86a3ff; --soft: #26335e; --second: #45cdb8; --star: #ff8a5e; --dot: #5a70bd; --limit: #d9b755;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55; font-size: 15px;
  font-family: Inter, ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
  -webkit-font-smoothing: antialiased; font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 56px 28px 80px; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -0.022em; margin: 0 0 10px; font-weight: 680; }
h2 { font-size: 21px; letter-spacing: -0.012em; margin: 64px 0 6px; font-weight: 640; }
h3 { font-size: 15px; margin: 0; font-weight: 620; }
p { margin: 0 0 14px; } .lead { color: var(--muted); font-size: 17px; max-width: 46em; }
.note { color: var(--muted); max-width: 52em; }
.eyebrow { color: var(--accent); font-weight: 620; font-size: 12.5px;
  letter-spacing: 0.06em; text-transform: uppercase; margin-bottom: 10px; }
.facts { display: flex; flex-wrap: wrap; gap: 6px 30px; margin: 22px 0 0; padding: 0; list-style: none; }
.facts li { color: var(--muted); } .facts b { color: var(--ink); font-weight: 600; margin-left: 6px; }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr));
  margin: 30px 0 0; }
.card, .figure { background: var(--card); border: 1px solid var(--grid); border-radius: 14px; }
.card { padding: 20px 22px 16px; } .figure { padding: 14px 12px 6px; margin-top: 16px; }
.card .big { font-size: 30px; font-weight: 660; letter-spacing: -0.02em; line-height: 1.2;
  margin: 8px 0 2px; }
.card .label { color: var(--muted); font-size: 13px; }
.card dl { display: grid; grid-template-columns: auto auto; margin: 14px 0 0; font-size: 13.5px;
  gap: 3px 12px; }
.card dt { color: var(--muted); } .card dd { margin: 0; text-align: right; font-weight: 550; }
.grid { display: grid; gap: 16px; margin-top: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); }
.grid .figure { margin: 0; min-width: 0; } .grid h3, .grid .note { padding: 0 6px; } .grid + .note { margin-top: 18px; }
.grid + .note { margin-top: 18px; } .grid .note { font-size: 13.5px; margin: 4px 0 10px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 14px 0 0; color: var(--muted); font-size: 13.5px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 7px; }
.pill { display: inline-block; background: var(--soft); color: var(--accent); border-radius: 99px;
  padding: 2px 11px; font-weight: 600; font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 9px 12px; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
thead th { color: var(--muted); font-weight: 560; font-size: 13px; }
tbody tr:last-child > * { border-bottom: 0; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
tr.reference td { color: var(--muted); }
table.compare { font-size: 13px; } table.compare th, table.compare td { padding: 5px 12px; text-align: left; }
table.compare .name { font-weight: 500; } .kind { color: var(--muted); display: inline-block; width: 6em; }
.value { font-weight: 600; margin-left: 9px; } .of, .absent { color: var(--muted); font-weight: 400; }
svg.cell { vertical-align: -1px;}
svg.silhouette { width: 100%; height: auto; display: block; margin: 14px 0 4px; }
.kept { fill: var(--accent); } .whole { fill: var(--soft); }
.left-out { fill: none; stroke: var(--faint); stroke-width: 1; stroke-dasharray: 2 2; }
.met { color: var(--second); } .over { color: var(--star); } .limits { font-size: 12.5px; }
.limits > * + * { margin-left: 9px; } td.own { background: var(--soft); }
td.wrap { white-space: normal; min-width: 13em; } .cards + .note, .figure + .note { margin-top: 18px; }
details { margin-top: 16px;}
summary { cursor: pointer; color: var(--accent); font-weight: 560; padding: 4px 0; }
pre { background: var(--card); border: 1px solid var(--grid); border-radius: 12px;
  padding: 16px 18px; overflow-x: auto; font: 13px/1.6 ui-monospace, 'SF Mono', Menlo, Consolas, monospace;
  margin: 10px 0 0; }
code { font: 0.92em ui-monospace, 'SF Mono', Menlo, Consolas, monospace; }
footer { margin-top: 64px; color: var(--muted); font-size: 13px; }
@media print { .figure, .card { break-inside: avoid; } }
"""

SCRIPT = """
const figures = JSON.parse(document.getElementById('figures').textContent);
function opaque(name, share) {  // "$accent/0.2" is the accent, a fifth of it
  const colour = getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  return share ? colour + Math.round(255 * share).toString(16).padStart(2, '0') : colour;
}
function coloured(value) {
  if (typeof value === 'string' && value.startsWith('$'))
    return opaque(...value.slice(1).split('/'));
  if (Array.isArray(value)) return value.map(coloured);
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner)]));
  return value;
}
function draw() {
  for (const [id, figure] of Object.entries(figures)) {
    const shown = coloured(figure);
    Plotly.react(id, shown.data, shown.layout, {displaylogo: false, responsive: true,
      modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d'], ...shown.config});
  }
}
draw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
"""
