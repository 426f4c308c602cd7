// A square of latent space: the map of encoded pictures behind, a point that is dragged in front.
const pad = element.querySelector('.pad'), canvas = pad.querySelector('canvas');
const note = element.querySelector('.note'), read = element.querySelector('.read');
let map = { points: [], centre: [0, 0], half: 3.5 }, args = { ...props.args };
let dot = [...props.start], ellipse = null;
const toX = x => (x - map.centre[0] + map.half) / (2 * map.half);
const toY = y => (map.centre[1] + map.half - y) / (2 * map.half);

function render() {
  const side = Math.round(pad.clientWidth * devicePixelRatio);
  if (!side) return;
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const g = canvas.getContext('2d'), style = getComputedStyle(pad);
  g.clearRect(0, 0, side, side);
  g.strokeStyle = style.getPropertyValue('--line');
  g.lineWidth = devicePixelRatio;
  for (let k = Math.ceil(map.centre[0] - map.half), step = Math.max(1, Math.round(map.half / 4)); k <= map.centre[0] + map.half; k++)
    if (k % step === 0) { g.beginPath(); g.moveTo(toX(k) * side, 0); g.lineTo(toX(k) * side, side); g.stroke(); }
  for (let k = Math.ceil(map.centre[1] - map.half), step = Math.max(1, Math.round(map.half / 4)); k <= map.centre[1] + map.half; k++)
    if (k % step === 0) { g.beginPath(); g.moveTo(0, toY(k) * side); g.lineTo(side, toY(k) * side); g.stroke(); }
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
    const [mean, std] = [ellipse.mean, ellipse.std], scale = side / (2 * map.half);
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
  const words = 'z = (' + dot.map(v => v.toFixed(2)).join(', ') + ')';
  read.textContent = words;
  pad.setAttribute('aria-valuetext', words);
  pad.dataset.z = dot.map(v => v.toFixed(4)).join(',');
}

const within = (v, k) => Math.max(map.centre[k] - map.half, Math.min(map.centre[k] + map.half, v));
function move(z) {
  dot = [within(z[0], 0), within(z[1], 1)];
  let message = { z: dot };
  if (ellipse) {
    const eps = dot.map((v, k) => Math.max(-4, Math.min(4, (v - ellipse.mean[k]) / ellipse.std[k])));
    dot = eps.map((e, k) => ellipse.mean[k] + ellipse.std[k] * e);
    message = { eps };
  }
  render();
  say(props.target, { ...args, ...message });
}

let down = false;
const place = event => {
  const r = pad.getBoundingClientRect();
  move([map.centre[0] + ((event.clientX - r.left) / r.width * 2 - 1) * map.half,
        map.centre[1] - ((event.clientY - r.top) / r.height * 2 - 1) * map.half]);
};
pad.addEventListener('pointerdown', event => { down = true; pad.setPointerCapture(event.pointerId); pad.focus({ preventScroll: true }); place(event); });
pad.addEventListener('pointermove', event => { if (down) place(event); });
for (const end of ['pointerup', 'pointercancel']) pad.addEventListener(end, () => { down = false; });
pad.addEventListener('keydown', event => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (!way) return;
  event.preventDefault();
  const step = (event.shiftKey ? 0.01 : 0.1) * (ellipse ? 1 : map.half / 3);
  move(dot.map((v, k) => v + way[k] * step * (ellipse ? 3 * ellipse.std[k] : 1)));
});

const load = asker(() => server.map(args), answer => {
  note.textContent = answer.error || '';
  if (answer.error) return;
  map = answer;
  if (ellipse) render(); else move(answer.z || dot);
}, () => { note.textContent = 'The connection is interrupted; trying again.'; });

// {ellipse: {mean, std}} sets the posterior, {z: [..]} moves the point without asking for a picture;
// every other key is an argument: it reads the map again and travels with each later question.
hear(props.name, message => {
  const { ellipse: shown, z, ...more } = message;
  if (shown !== undefined) ellipse = shown;
  if (z) dot = z;
  if (Object.keys(more).length) { args = { ...args, ...more }; load(args); }
  render();
});
new ResizeObserver(render).observe(pad);
new MutationObserver(render).observe(document.body, { attributes: true, attributeFilter: ['class'] });
load(args);
render();
