// The map of the encoded test digits at the step that a player shows, over circles of the prior.
const canvas = element.querySelector('canvas');
let points = [];
function render() {
  const side = Math.round(canvas.clientWidth * devicePixelRatio);
  if (!side || !points.length) return;
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const g = canvas.getContext('2d'), style = getComputedStyle(canvas);
  // as far as all but a few of the digits, and never nearer than the prior reaches
  const far = points.map(p => Math.max(Math.abs(p[0]), Math.abs(p[1]))).sort((a, b) => a - b);
  const half = Math.max(3.3, 1.08 * far[Math.floor(0.99 * (far.length - 1))]);
  const at = v => (v / half + 1) / 2 * side;
  g.clearRect(0, 0, side, side);
  g.strokeStyle = style.getPropertyValue('--soft');
  g.globalAlpha = 0.45;
  g.lineWidth = devicePixelRatio;
  for (const r of [1, 2, 3]) {
    g.beginPath(); g.arc(side / 2, side / 2, r / half * side / 2, 0, 7); g.stroke();
  }
  g.globalAlpha = 0.85;
  g.font = '600 ' + Math.max(9, canvas.clientWidth / 36) * devicePixelRatio + 'px system-ui, sans-serif';
  g.textAlign = 'center'; g.textBaseline = 'middle';
  for (const [x, y, label] of points) {
    g.fillStyle = style.getPropertyValue('--class-' + label);
    g.fillText(label, at(x), at(-y));
  }
  g.globalAlpha = 1;
  canvas.dataset.half = half.toFixed(2);
}
const take = event => {
  if (!element.isConnected) return document.removeEventListener('diffuser:step', take);
  if (event.detail.from !== props.player) return;
  points = event.detail.step.points;
  render();
};
document.addEventListener('diffuser:step', take);
new ResizeObserver(render).observe(canvas);
new MutationObserver(render).observe(document.body, { attributes: true, attributeFilter: ['class'] });
