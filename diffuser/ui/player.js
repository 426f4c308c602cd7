// Every step that arrives stays in the page; scrubbing asks the server for nothing.
const box = element.querySelector('.frames'), numbers = element.querySelector('.numbers');
const bar = element.querySelector('input'), count = element.querySelector('.count');
const play = element.querySelector('.play'), done = element.querySelector('.done');
let run = null, steps = [], at = 0, total = 0, follow = true, timer = null, began = 0;

// While steps still arrive, the time left, said by the newest or at the pace so far, where that is over a second.
function left() {
  const have = steps.length - 1, newest = steps[have];
  const pace = have > 0 ? (performance.now() - began) / 1000 / have * (total - have) : 0;
  const seconds = newest.left === undefined ? pace : newest.left;
  return busy() && seconds >= 1 ? ', about ' + Math.ceil(seconds) + ' s left' : '';
}
const busy = () => element.querySelector('.player').getAttribute('aria-busy') === 'true';

function show(i) {
  at = Math.max(0, Math.min(steps.length - 1, i));
  const step = steps[at];
  if (!step) return;
  paintAll(box, step.frames);
  showNumbers(numbers, step.numbers);
  bar.max = Math.max(total, steps.length - 1);
  bar.value = at;
  const words = 'step ' + at + ' of ' + bar.max + (step.t === undefined || step.t === null ? '' : ', t = ' + step.t.toFixed(3));
  count.textContent = words + left();
  bar.setAttribute('aria-valuetext', words);
  done.style.width = 100 * (steps.length - 1) / Math.max(1, bar.max) + '%';
  element.querySelector('.player').dataset.at = at;
  element.querySelector('.player').dataset.have = steps.length;
  document.dispatchEvent(new CustomEvent('diffuser:step', { detail: { from: props.name, run, i: at, step, steps } }));
}
function pause() { clearInterval(timer); timer = null; play.textContent = 'Play'; play.setAttribute('aria-pressed', 'false'); }
function start() {
  if (at >= steps.length - 1) at = -1;
  follow = false;
  play.textContent = 'Pause'; play.setAttribute('aria-pressed', 'true');
  const every = Math.max(30, Math.min(150, 6000 / Math.max(1, steps.length)));
  timer = setInterval(() => { show(at + 1); if (at >= steps.length - 1) pause(); }, every);
}
function go(i) { pause(); follow = i >= steps.length - 1; show(i); }

function receive() {
  if (!props.value) return;
  const news = typeof props.value === 'string' ? JSON.parse(props.value) : props.value;
  for (const step of [news].flat()) take(step);  // one step, or a list of them
}
function take(step) {
  if (step.run !== run) { run = step.run; steps = []; follow = true; began = performance.now(); pause(); }
  steps[step.i] = step;
  total = step.n;
  element.querySelector('.player').setAttribute('aria-busy', String(step.i < step.n));
  if (follow) show(step.i); else show(at);
}
play.addEventListener('click', () => timer === null ? start() : pause());
element.querySelector('.first').addEventListener('click', () => go(0));
element.querySelector('.back').addEventListener('click', () => go(at - 1));
element.querySelector('.on').addEventListener('click', () => go(at + 1));
element.querySelector('.last').addEventListener('click', () => go(steps.length - 1));
bar.addEventListener('input', () => go(Number(bar.value)));
bar.addEventListener('change', () => trigger('pick', { run, i: at, t: steps[at] ? steps[at].t : null }));
element.addEventListener('keydown', event => {
  if (event.target !== bar && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) {
    event.preventDefault(); go(at + (event.key === 'ArrowRight' ? 1 : -1));
  }
  if (event.target === bar && event.key === ' ') { event.preventDefault(); play.click(); }
});
hear(props.name, message => {
  if (message.i !== undefined) go(message.i);
  if (message.stopped) { element.querySelector('.player').setAttribute('aria-busy', 'false'); show(at); }
});
watch('value', receive);
receive();
if (!steps.length) whenSeen(() => trigger('start'));
