const figures = JSON.parse(document.getElementById('figures').textContent);
function opaque(name, share) {  // "$accent/0.2" is the accent, a fifth of it
  const color = getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  return share ? color + Math.round(255 * share).toString(16).padStart(2, '0') : color;
}
function colored(value) {
  if (typeof value === 'string' && value.startsWith('$'))
    return opaque(...value.slice(1).split('/'));
  if (Array.isArray(value)) return value.map(colored);
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, colored(inner)]));
  return value;
}
function draw() {
  const narrow = matchMedia('(max-width: 640px)').matches;  // no room for buttons above the plot
  const touch = matchMedia('(pointer: coarse)').matches;  // a finger scrolls the page and does not zoom
  const config = {displaylogo: false, responsive: true, ...(narrow && {displayModeBar: false}),
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d']};
  for (const [id, figure] of Object.entries(figures)) {
    const shown = colored(figure);
    const layout = touch ? {...shown.layout, dragmode: false} : shown.layout;
    Plotly.react(id, shown.data, layout, {...config, ...shown.config});
  }
}
async function begin() {  // after the first paint, since the library takes a while to unpack
  const packed = Uint8Array.from(atob(document.getElementById('plotly').textContent), letter => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  const script = document.createElement('script');
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}
if (Object.keys(figures).length) requestAnimationFrame(() => setTimeout(begin));
