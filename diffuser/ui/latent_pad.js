// A square of latent space: the map of encoded pictures behind, a point that is dragged in front.
const pad = element.querySelector('.pad'), canvas = pad.querySelector('canvas');
const note = element.querySelector('.note'), read = element.querySelector('.read');
let map = { points: [], centre: [0, 0], half: 3.5 }, args = { ...props.args };
let dot = [...props.start], ellipse = null, eps = [0.8, 0.6], close = props.close, view = map;
const toX = x => (x - view.centre[0] + view.half) / (2 * view.half);
const toY = y => (view.centre[1] + view.half - y) / (2 * view.half);
const decimals = () => view.half < 1 ? 3 : 2;

function render() {
  view = ellipse && close ? { centre: ellipse.mean, half: 4.5 * Math.max(...ellipse.std) } : map;
  if (ellipse) dot = eps.map((e, k) => ellipse.mean[k] + ellipse.std[k] * e);
  const side = Math.round(pad.clientWidth * devicePixelRatio);
  if (!side) return;
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const g = canvas.getContext('2d'), style = getComputedStyle(pad);
  g.clearRect(0, 0, side, side);
  g.strokeStyle = style.getPropertyValue('--line');
  g.lineWidth = devicePixelRatio;
  const rough = view.half / 3, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [5, 2, 1].find(m => m * ten <= rough);  // 1, 2 or 5 times a power of ten
  g.beginPath();
  for (const [axis, to] of [[0, toX], [1, toY]])
    for (let k = Math.ceil((view.centre[axis] - view.half) / step); k * step <= view.centre[axis] + view.half; k++) {
      const at = to(k * step) * side;
      g.moveTo(axis ? 0 : at, axis ? at : 0);
      g.lineTo(axis ? side : at, axis ? at : side);
    }
  g.stroke();
  const scale = side / (2 * view.half);
  g.strokeStyle = style.getPropertyValue('--soft');
  g.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const r of map.rings || []) {
    g.beginPath(); g.arc(toX(0) * side, toY(0) * side, r * scale, 0, 7); g.stroke();
  }
  g.setLineDash([]);
  for (const [x, y, a, b, label] of map.clouds || []) {
    g.strokeStyle = style.getPropertyValue('--class-' + label);
    g.beginPath(); g.ellipse(toX(x) * side, toY(y) * side, a * scale, b * scale, 0, 0, 7); g.stroke();
  }
  const size = Math.max(9, pad.clientWidth / 36) * devicePixelRatio;
  g.font = '600 ' + size + 'px system-ui, sans-serif';
  g.textAlign = 'center'; g.textBaseline = 'middle';
  g.globalAlpha = ellipse ? 0.45 : 0.85;
  for (const [x, y, label] of map.points) {
    g.fillStyle = style.getPropertyValue('--class-' + label);
    g.fillText(label, toX(x) * side, toY(y) * side);
  }
  g.globalAlpha = 1;
  if (ellipse) {
    const [mean, std] = [ellipse.mean, ellipse.std];
    g.strokeStyle = style.getPropertyValue('--q-mean');
    g.fillStyle = style.getPropertyValue('--q-mean');
    for (const k of [1, 2]) {
      g.lineWidth = (3 - k) * 1.5 * devicePixelRatio;
      g.beginPath(); g.ellipse(toX(mean[0]) * side, toY(mean[1]) * side, k * std[0] * scale, k * std[1] * scale, 0, 0, 7); g.stroke();
    }
    g.beginPath(); g.arc(toX(mean[0]) * side, toY(mean[1]) * side, 4 * devicePixelRatio, 0, 7); g.fill();
    g.strokeStyle = style.getPropertyValue('--q-eps');
    g.lineWidth = 2 * devicePixelRatio;
    g.beginPath(); g.moveTo(toX(mean[0]) * side, toY(mean[1]) * side); g.lineTo(toX(dot[0]) * side, toY(dot[1]) * side); g.stroke();
  }
  const handle = pad.querySelector('.dot');
  handle.style.left = toX(dot[0]) * 100 + '%';
  handle.style.top = toY(dot[1]) * 100 + '%';
  const words = 'z = (' + dot.map(v => v.toFixed(decimals())).join(', ') + ')';
  read.textContent = map.name || words;
  pad.setAttribute('aria-valuetext', (map.name ? map.name + ', ' : '') + words);
  pad.dataset.z = dot.map(v => v.toFixed(4)).join(',');
}

const within = (v, k) => Math.max(view.centre[k] - view.half, Math.min(view.centre[k] + view.half, v));
function move(z) {
  dot = [within(z[0], 0), within(z[1], 1)];
  if (ellipse) eps = dot.map((v, k) => Math.max(-4, Math.min(4, (v - ellipse.mean[k]) / ellipse.std[k])));
  render();
  say(props.target, { ...args, ...(ellipse ? { eps } : { z: dot }) });
}

let down = false;
const place = event => {
  const r = pad.getBoundingClientRect();
  move([view.centre[0] + ((event.clientX - r.left) / r.width * 2 - 1) * view.half,
        view.centre[1] - ((event.clientY - r.top) / r.height * 2 - 1) * view.half]);
};
pad.addEventListener('pointerdown', event => { down = true; pad.setPointerCapture(event.pointerId); pad.focus({ preventScroll: true }); place(event); });
pad.addEventListener('pointermove', event => { if (down) place(event); });
for (const end of ['pointerup', 'pointercancel']) pad.addEventListener(end, () => { down = false; });
pad.addEventListener('keydown', event => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (!way) return;
  event.preventDefault();
  const step = (event.shiftKey ? 0.004 : 0.04) * view.half;
  move(dot.map((v, k) => v + way[k] * step));
});

const load = asker(() => server.map(args), answer => {
  note.textContent = answer.error || '';
  if (answer.error) return;
  map = view = answer;
  if (ellipse || answer.still) render(); else move(answer.z || dot);
}, () => { note.textContent = 'The connection is interrupted; trying again.'; });

// {ellipse: {mean, std}} sets the posterior, {close: true} looks from near, {z: [..]} moves the point without asking for a picture;
// every other key is an argument: it reads the map again and travels with each later question.
hear(props.name, message => {
  const { ellipse: shown, close: near, z, ...more } = message;
  if (shown !== undefined) ellipse = shown;
  if (near !== undefined) close = near;
  if (z) dot = z;
  if (Object.keys(more).length) { args = { ...args, ...more }; load(args); }
  render();
});
new ResizeObserver(render).observe(pad);
new MutationObserver(render).observe(document.body, { attributes: true, attributeFilter: ['class'] });
whenSeen(() => load(args));
render();
