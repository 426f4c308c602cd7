// The loss in numbers at the step that a player shows, and its terms over all steps that it has.
const box = element.querySelector('.curves'), formula = element.querySelector('.formula');
let plots = [], have = '';
const PARTS = [
  ['negative ELBO', 'accent', t => t[0] + t[1]],
  ['reconstruction', 'q-x0', t => t[0]],
  ['KL', 'q-variance', t => t[1]],
];
function panel([title, colour, part], steps) {
  const line = (name, colour, of) => ({ name, colour, points: steps.map(s => [s.seconds, part(of(s))]) });
  const lines = [line('digits it learns from', 'soft', s => s.train), line('test digits', colour, s => s.test)];
  // The first moments lie far above all others, and would press them flat.
  const y = lines.flatMap(l => l.points.map(p => p[1])).sort((a, b) => a - b);
  const low = Math.floor(y[0]), high = Math.max(low + 1, Math.ceil(y[Math.floor(0.88 * (y.length - 1))]));
  const end = Math.max(1, steps[steps.length - 1].seconds);
  return { title: title + ', nats', x: [0, end], xticks: [[0, '0'], [end, end.toFixed(0) + ' s']],
    y: [low, high], yticks: [low, Math.round((low + high) / 2), high], lines };
}
const take = event => {
  if (!element.isConnected) return document.removeEventListener('diffuser:step', take);
  const { from, run, step } = event.detail;
  if (from !== props.player) return;
  const steps = event.detail.steps.filter(Boolean);
  showFormula(formula, step.formula);
  if (steps.length > 1 && have !== run + steps.length) {
    have = run + steps.length;
    plots = showCurves(box, PARTS.map(part => panel(part, steps)), [320, 190]);
  }
  if (steps.length < 2) { box.replaceChildren(); have = ''; plots = []; }
  for (const p of plots) p.mark(step.seconds);
  box.dataset.have = steps.length;
};
document.addEventListener('diffuser:step', take);
