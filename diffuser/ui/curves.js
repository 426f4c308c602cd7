// Curves drawn once; the marker and the emphasis move in the page, without asking the server.
const box = element.querySelector('.curves'), chips = element.querySelector('.chips');
const plots = showCurves(box, props.panels, props.size);
let chosen = props.chosen;
const mark = t => { for (const p of plots) p.mark(t); element.querySelector('.plots').dataset.t = t; };
function emphasise(name) {
  for (const e of box.querySelectorAll('[data-name]')) e.classList.toggle('faint', Boolean(name) && e.dataset.name !== name);
  for (const e of chips.children) e.setAttribute('aria-pressed', String(e.dataset.name === name));
}
const names = new Map((props.panels[0] || { lines: [] }).lines.map(line => [line.name, line.colour]));
if (names.size > 1) for (const [name, colour] of names) {
  const chip = document.createElement('button'), swatch = document.createElement('span');
  chip.type = 'button';
  chip.dataset.name = name;
  swatch.className = 'swatch';
  swatch.style.background = `var(--${colour})`;
  chip.append(swatch, document.createTextNode(name));
  chip.addEventListener('pointerenter', () => emphasise(name));
  chip.addEventListener('pointerleave', () => emphasise(chosen));
  chip.addEventListener('click', () => { chosen = chosen === name ? null : name; emphasise(chosen); });
  chips.append(chip);
}
hear(props.name, message => {
  if (Number.isFinite(message.t)) mark(message.t);
  if (message.chosen !== undefined) { chosen = message.chosen; emphasise(chosen); }
});
if (props.player) {
  const at = event => {
    if (!element.isConnected) return document.removeEventListener('diffuser:step', at);
    if (event.detail.from === props.player && Number.isFinite(event.detail.step.t)) mark(event.detail.step.t);
  };
  document.addEventListener('diffuser:step', at);
}
if (Number.isFinite(props.t)) mark(props.t);
emphasise(chosen);
