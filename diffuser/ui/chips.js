// One row of examples; a click makes its number the value.
const row = element.querySelector('.chips');
row.replaceChildren(...props.labels.map((label, i) => {
  const chip = document.createElement('button');
  chip.type = 'button';
  chip.className = 'chip';
  chip.textContent = label;
  chip.addEventListener('click', () => { props.value = i; trigger('input'); });
  return chip;
}));
