// Shared by every component: drawing frames, and messages between components of the page.
// Text from a visitor or a model is only ever set with textContent.
const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

function paint(canvas, frame) {
  const { n, w, h, c, columns } = frame, gap = n > 1 ? 1 : 0;
  const px = bytesOf(frame.px), rows = Math.ceil(n / columns);
  const width = columns * (w + gap) - gap, height = rows * (h + gap) - gap;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const g = canvas.getContext('2d'), one = g.createImageData(w, h);
  for (let k = 0, p = 0; k < n; k++) {
    for (let i = 0; i < w * h; i++) {
      one.data[4 * i] = px[p];
      one.data[4 * i + 1] = px[c === 1 ? p : p + 1];
      one.data[4 * i + 2] = px[c === 1 ? p : p + 2];
      one.data[4 * i + 3] = 255;
      p += c;
    }
    g.putImageData(one, (k % columns) * (w + gap), Math.floor(k / columns) * (h + gap));
  }
}

function paintAll(box, frames) {
  while (box.children.length > frames.length) box.lastChild.remove();
  while (box.children.length < frames.length) {
    const figure = document.createElement('figure');
    figure.append(document.createElement('canvas'), document.createElement('figcaption'));
    box.append(figure);
  }
  const narrow = box.clientWidth > 0 && box.clientWidth < 520;  // a phone: a long row becomes two
  frames.forEach((given, k) => {
    const frame = narrow && given.columns > 6 ? { ...given, columns: Math.ceil(given.columns / 2) } : given;
    const figure = box.children[k], [canvas, caption] = figure.children;
    figure.className = 'frame q-' + frame.quantity;
    const ratio = given.columns / Math.ceil(given.n / given.columns);
    figure.classList.toggle('strip', ratio >= 4);
    figure.style.setProperty('--grow', ratio >= 4 ? 1 : Math.min(2, Math.max(1, frame.w / 64)));
    if (caption.textContent !== frame.name) caption.textContent = frame.name;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', frame.name);
    paint(canvas, frame);
  });
}

function showNumbers(box, numbers) {
  box.replaceChildren(...(numbers || []).map(([name, value, quantity]) => {
    const item = document.createElement('span'), label = document.createElement('span');
    item.className = 'number' + (quantity ? ' q-' + quantity : '');
    label.className = 'label';
    label.textContent = name;
    item.append(label, document.createTextNode(value));
    return item;
  }));
}

// A message to the component called `to`; and hearing them while this component lives.
const say = (to, args) => document.dispatchEvent(new CustomEvent('diffuser:ask', { detail: { to, args } }));
function hear(name, respond) {
  const on = event => {
    if (!element.isConnected) return document.removeEventListener('diffuser:ask', on);
    if (event.detail.to === name) respond(event.detail.args);
  };
  document.addEventListener('diffuser:ask', on);
}

// Newest request wins, the last one is never lost: two may fly, an older answer never replaces
// a newer one, and a broken connection is tried again.
function asker(call, onAnswer, onTrouble) {
  let sent = 0, shown = 0, flying = 0, waiting = null;
  async function go() {
    if (flying >= 2 || waiting === null) return;
    const args = waiting, mine = ++sent;
    waiting = null; flying++;
    try {
      const answer = await call(args);
      if (mine > shown) { shown = mine; onAnswer(answer, args); }
    } catch (trouble) {
      if (mine === sent && waiting === null) {
        onTrouble(trouble);
        setTimeout(() => { if (mine === sent && waiting === null && element.isConnected) { waiting = args; go(); } }, 1500);
      }
    } finally { flying--; go(); }
  }
  return args => { waiting = args; go(); };
}

// Work begins when its place on the page comes near.
function whenSeen(begin) {
  const watcher = new IntersectionObserver(found => {
    if (found.some(f => f.isIntersecting)) { watcher.disconnect(); begin(); }
  }, { rootMargin: '300px' });
  watcher.observe(element);
}
