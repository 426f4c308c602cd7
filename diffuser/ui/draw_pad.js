// A small drawing: mouse, touch, or a picture file, which the server reads and checks.
const pad = element.querySelector('canvas'), note = element.querySelector('.note');
const size = props.size, c = props.channels, file = element.querySelector('input[type=file]');
let px = new Float32Array(size * size * c), last = null;
const text = () => btoa(String.fromCharCode(...Uint8Array.from(px, Math.round)));

function render() { paint(pad, { n: 1, w: size, h: size, c, columns: 1, px: text() }); }
function changed(event) {
  render();
  props.value = text();
  trigger(event);
  for (const to of [props.target || []].flat()) say(to, { ...props.args, px: props.value });
}
function dab(x, y) {
  const r = size / 20;
  for (let j = Math.floor(y - 2 * r); j <= y + 2 * r; j++) for (let i = Math.floor(x - 2 * r); i <= x + 2 * r; i++) {
    if (i < 0 || j < 0 || i >= size || j >= size) continue;
    const ink = 255 * Math.max(0, Math.min(1, 1.5 - Math.hypot(i + .5 - x, j + .5 - y) / r));
    for (let k = 0; k < c; k++) { const p = (j * size + i) * c + k; px[p] = Math.max(px[p], ink); }
  }
}
function stroke(event) {
  const r = pad.getBoundingClientRect();
  const to = [(event.clientX - r.left) / r.width * size, (event.clientY - r.top) / r.height * size];
  const from = last || to, parts = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2) + 1;
  for (let k = 1; k <= parts; k++) dab(from[0] + (to[0] - from[0]) * k / parts, from[1] + (to[1] - from[1]) * k / parts);
  last = to;
  changed('input');
}
pad.addEventListener('pointerdown', event => { pad.setPointerCapture(event.pointerId); last = null; stroke(event); });
pad.addEventListener('pointermove', event => { if (pad.hasPointerCapture(event.pointerId)) stroke(event); });
pad.addEventListener('pointerup', () => { if (last) { last = null; trigger('release'); } });
element.querySelector('.clear').addEventListener('click', () => { px.fill(0); note.textContent = ''; changed('release'); });
element.querySelector('.open').addEventListener('click', () => file.click());
file.addEventListener('change', async () => {
  const chosen = file.files[0];
  file.value = '';
  if (!chosen) return;
  if (chosen.size > 1e7) { note.textContent = 'A picture file may have at most 10 MB.'; return; }
  const data = await new Promise(ok => { const r = new FileReader(); r.onload = () => ok(r.result); r.readAsDataURL(chosen); });
  try { take(await server.read({ file: data }), 'release'); } catch { note.textContent = 'The connection is interrupted; please try again.'; }
});
function take(answer, event) {
  note.textContent = answer.error || '';
  if (answer.error) return;
  px = Float32Array.from(bytesOf(answer.px));
  if (event) changed(event); else { render(); props.value = answer.px; }
}
hear(props.name, message => { if (message.px) take(message, message.quiet ? null : 'release'); });
if (props.value) px = Float32Array.from(bytesOf(props.value));
render();
