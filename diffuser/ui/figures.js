// What may stand under the pictures of an answer: the formula with its numbers, checks, curves.
// Text is only ever set with textContent; colours are names of CSS variables.
const SVG = 'http://www.w3.org/2000/svg';
function made(tag, words, name) {
  const e = document.createElement(tag);
  if (words !== undefined) e.textContent = words;
  if (name) e.className = name;
  return e;
}
function drawn(tag, attributes, parent) {
  const e = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (parent) parent.append(e);
  return e;
}

// [[text, quantity or null], ...]; the spans stay, so that only the numbers move while dragging.
function showFormula(box, tokens) {
  tokens = tokens || [];
  while (box.children.length > tokens.length) box.lastChild.remove();
  while (box.children.length < tokens.length) box.append(document.createElement('span'));
  tokens.forEach(([text, quantity], k) => {
    const span = box.children[k];
    if (span.textContent !== text) span.textContent = text;
    span.className = quantity ? 'q-' + quantity : 'plain';
  });
}

// [{name, found, expected, tolerance, ok}, ...], every value a text already.
function showChecks(box, checks) {
  if (!checks || !checks.length) return box.replaceChildren();
  const table = made('table'), head = made('tr');
  for (const words of ['', 'measured', 'the theory', 'tolerance', '']) head.append(made('th', words));
  table.append(head);
  for (const c of checks) {
    const row = made('tr');
    row.append(made('th', c.name), made('td', c.found), made('td', c.expected), made('td', c.tolerance),
      made('td', c.ok ? '✓ holds' : '✗ fails', c.ok ? 'holds' : 'fails'));
    table.append(row);
  }
  box.replaceChildren(table);
}

// [[text, ...], ...], the head first; a text each cell.
function showTable(box, rows) {
  const table = made('table', undefined, 'rows');
  rows.forEach((cells, i) => {
    const row = made('tr');
    row.append(...cells.map((words, k) => made(i && k ? 'td' : 'th', words)));
    table.append(row);
  });
  box.replaceChildren(table);
}

// One panel: {title, x: [low, high], y: [low, high], lines: [{name, colour, points}], bars: [[x0, x1, y, colour], ...]}; a bar's colour may be absent.
function plot(panel, size) {
  const [W, H] = size || [320, 190], L = 34, R = 8, T = 24, B = 22;
  const X = v => L + (v - panel.x[0]) / (panel.x[1] - panel.x[0]) * (W - L - R);
  const Y = v => H - B - (v - panel.y[0]) / (panel.y[1] - panel.y[0]) * (H - T - B);
  const svg = drawn('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': panel.title });
  const clip = 'clip' + Math.random().toString(36).slice(2);
  drawn('rect', { x: L, y: T, width: W - L - R, height: H - T - B }, drawn('clipPath', { id: clip }, svg));
  drawn('text', { x: L, y: 14, class: 'title' }, svg).textContent = panel.title;
  for (const [v, words] of panel.xticks || panel.x.map(v => [v, String(v)])) {
    drawn('text', { x: X(v), y: H - 7, class: 'tick', 'text-anchor': 'middle' }, svg).textContent = words;
  }
  for (const v of panel.yticks || panel.y) {
    drawn('line', { x1: L, x2: W - R, y1: Y(v), y2: Y(v), class: 'rule' }, svg);
    drawn('text', { x: L - 5, y: Y(v) + 4, class: 'tick', 'text-anchor': 'end' }, svg).textContent = String(v);
  }
  const inside = drawn('g', { 'clip-path': `url(#${clip})` }, svg);
  for (const [x0, x1, y, colour] of panel.bars || []) {
    const bar = drawn('rect', { x: X(x0), y: Y(y), width: Math.max(.5, X(x1) - X(x0) - .5), height: Math.max(0, Y(0) - Y(y)), class: 'bar' }, inside);
    if (colour) bar.style.fill = `var(--${colour})`;
  }
  const marker = drawn('line', { y1: T, y2: H - B, class: 'marker', visibility: 'hidden' }, svg);
  const dots = (panel.lines || []).map(line => {
    const d = line.points.map(([x, y], k) => (k ? 'L' : 'M') + X(x).toFixed(1) + ' ' + Y(y).toFixed(1)).join('');
    const path = drawn('path', { d, class: 'curve', 'data-name': line.name }, inside);
    const dot = drawn('circle', { r: 3.4, visibility: 'hidden', 'data-name': line.name }, inside);
    path.style.stroke = dot.style.fill = `var(--${line.colour})`;
    return [line, dot];
  });
  return { svg, mark(x) {
    marker.setAttribute('x1', X(x)); marker.setAttribute('x2', X(x)); marker.setAttribute('visibility', 'visible');
    for (const [line, dot] of dots) {
      const p = line.points;
      let k = 1;
      while (k < p.length - 1 && p[k][0] < x) k++;
      const u = Math.max(0, Math.min(1, (x - p[k - 1][0]) / (p[k][0] - p[k - 1][0] || 1)));
      dot.setAttribute('cx', X(x));
      dot.setAttribute('cy', Y(p[k - 1][1] + u * (p[k][1] - p[k - 1][1])));
      dot.setAttribute('visibility', 'visible');
    }
  } };
}
function showCurves(box, panels, size) {
  const plots = (panels || []).map(panel => plot(panel, size));
  box.replaceChildren(...plots.map(p => p.svg));
  return plots;
}
