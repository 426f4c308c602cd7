// What came of a prompt: progress in words, the tokens that were read, the files to keep.
// The visitor's words are only ever set with textContent.
const status = element.querySelector('.status'), note = element.querySelector('.note');
const tokens = element.querySelector('.tokens'), files = element.querySelector('.files');
let busy = false, run = null, halted = null;

function receive() {
  if (!props.value) return;
  const news = JSON.parse(props.value);
  if (news.run && news.run === halted) return;  // was under way when the visitor stopped it
  run = news.run;
  busy = Boolean(news.busy);
  status.textContent = news.status || '';
  if (note.textContent !== (news.note || '')) note.textContent = news.note || '';
  tokens.replaceChildren(...(news.tokens || []).map(text => {
    const token = document.createElement('span');
    token.className = 'token';
    token.textContent = text;
    return token;
  }));
  if (news.cut) {
    const cut = document.createElement('s');
    cut.className = 'cut';
    cut.textContent = news.cut;
    tokens.append(cut);
  }
  files.replaceChildren(...(news.files || []).map(file => {
    const link = document.createElement('a');
    link.href = 'data:image/png;base64,' + file.data;
    link.download = file.name;
    link.textContent = file.label;
    return link;
  }));
}
hear(props.name, message => {
  if (message.stopped && busy) { busy = false; halted = run; status.textContent = 'Stopped. The steps so far are kept: scrub through them.'; }
});
watch('value', receive);
receive();
