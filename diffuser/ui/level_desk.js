// One row for each level: where its latents come from, how warm it is drawn, and what is known by then.
const rows = [...element.querySelectorAll('.level')];
const origin = row => row.querySelector('.from input:checked').value;
const warm = row => row.querySelector('.warm input'), seed = row => row.querySelector('.seed input');

function changed() {
  for (const row of rows) {
    row.classList.toggle('drawn', origin(row) === 'resample');
    row.querySelector('output').textContent = Number(warm(row).value).toFixed(2);
  }
  say(props.target, { sources: rows.map(origin), temperature: rows.map(r => Number(warm(r).value)), seed: rows.map(r => Number(seed(r).value)) });
}
function choose(row, name) { row.querySelector(`.from input[value=${name}]`).checked = true; }
const fresh = row => { seed(row).value = (Number(seed(row).value) + 1) % 2 ** 32; };

for (const row of rows) {
  row.addEventListener('input', event => {
    if (!event.target.closest('.from')) choose(row, 'resample');
    changed();
  });
  row.querySelector('.again').addEventListener('click', () => { choose(row, 'resample'); fresh(row); changed(); });
}
for (const key of element.querySelectorAll('[data-all]')) key.addEventListener('click', () => {
  for (const row of rows) {
    if (key.dataset.all === 'resample' && origin(row) === 'resample') fresh(row);
    choose(row, key.dataset.all);
  }
  changed();
});
hear(props.name, message => rows.forEach((row, k) => {
  const { stripe, picture, size, words } = message.rows[k], soFar = row.querySelector('.so-far');
  paint(row.querySelector('.stripe'), stripe);
  paint(soFar, picture);
  soFar.setAttribute('aria-label', picture.name);
  row.querySelector('.size').textContent = size;
  row.querySelector('.words').textContent = words;
  if (seed(row).value === '-1') seed(row).value = message.seed[k];
}));
for (const row of rows) row.classList.toggle('drawn', origin(row) === 'resample');
