const box = element.querySelector('.frames'), numbers = element.querySelector('.numbers');
const note = element.querySelector('.note'), save = element.querySelector('.save');
let args = { ...props.args };
const ask = asker(args => server.draw(args), (answer, sentArgs) => {
  element.querySelector('.live').setAttribute('aria-busy', 'false');
  note.textContent = answer.error || answer.note || '';
  note.classList.toggle('trouble', Boolean(answer.error));
  if (answer.error) return;
  paintAll(box, answer.frames || []);
  showFormula(element.querySelector('.formula'), answer.formula);
  showNumbers(numbers, answer.numbers);
  const checks = element.querySelector('.checks');
  if (answer.table) showTable(checks, answer.table); else showChecks(checks, answer.checks);
  showCurves(element.querySelector('.curves'), answer.curves, props.size);
  save.hidden = !answer.file;
  if (answer.file) {
    save.href = 'data:' + answer.file.mime + ';base64,' + answer.file.data;
    save.download = answer.file.name;
    save.textContent = 'Save ' + answer.file.name;
  }
  for (const [to, message] of Object.entries(answer.say || {})) say(to, message);
  document.dispatchEvent(new CustomEvent('diffuser:answer', { detail: { from: props.name, args: sentArgs, answer } }));
}, () => { note.textContent = 'The connection is interrupted; trying again.'; });
hear(props.name, more => { args = { ...args, ...more }; ask(args); });
if (props.at_once) whenSeen(() => ask(args));
