// One row for each latent dimension: a strip of what it draws, and the slider that moves along it.
const rows = element.querySelector('.rows'), text = element.querySelector('.text'), note = element.querySelector('.note');
let z = [], limit = 3;

function build(order) {
  rows.replaceChildren(...order.map(k => {
    const row = document.createElement('label'), name = document.createElement('span');
    const canvas = document.createElement('canvas'), bar = document.createElement('input');
    row.className = 'row q-z';
    name.className = 'name';
    Object.assign(bar, { type: 'range', min: -limit, max: limit, step: 0.05, value: z[k] });
    bar.addEventListener('input', () => { z[k] = Number(bar.value); moved(); });
    bar.addEventListener('change', () => ask({ z }));
    row.dataset.k = k;
    row.append(name, canvas, bar);
    return row;
  }));
}
function moved() {
  text.value = JSON.stringify(z.map(v => Number(v.toFixed(3))));
  note.textContent = '';
  say(props.target, { z });
}
function all(next) {
  z = next;
  for (const row of rows.children) row.querySelector('input').value = z[row.dataset.k];
  moved();
  ask({ z });
}
const ask = asker(args => server.strips(args), answer => {
  note.textContent = answer.error || '';
  if (answer.error) return;
  if (!rows.children.length) { z = answer.z; limit = answer.limit; build(answer.order); moved(); }
  element.querySelector('.summary').textContent = answer.summary;
  answer.order.forEach((k, i) => {
    const row = rows.children[i], strip = answer.strips[i];
    row.querySelector('.name').textContent = answer.names[i];
    row.querySelector('canvas').setAttribute('aria-hidden', 'true');
    row.querySelector('input').setAttribute('aria-label', answer.names[i]);
    paint(row.querySelector('canvas'), strip);
  });
}, () => { note.textContent = 'The connection is interrupted; trying again.'; });

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
element.querySelector('.random').addEventListener('click', () => all(z.map(() => Math.max(-limit, Math.min(limit, normal())))));
element.querySelector('.reset').addEventListener('click', () => all(z.map(() => 0)));
element.querySelector('.copy').addEventListener('click', async () => {
  text.select();
  try { await navigator.clipboard.writeText(text.value); } catch { document.execCommand('copy'); }
  note.textContent = 'Copied. Paste it into the field to come back here.';
});
text.addEventListener('change', () => {
  let next = null;
  try { next = JSON.parse(text.value); } catch { /* said below */ }
  if (Array.isArray(next) && next.length === z.length && next.every(v => Number.isFinite(v) && Math.abs(v) <= 6)) all(next);
  else note.textContent = 'A vector is [' + z.length + ' numbers from -6 to 6], separated by commas.';
});
whenSeen(() => ask({}));
