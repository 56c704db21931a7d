// The console's command palette (Ctrl-K): a dialog with a combobox (WAI-ARIA APG). Pages are those of the navigation,
// which works without it; the rest is asked for.
const dialog = document.getElementById('palette');
const input = document.getElementById('palette-input');
const list = document.getElementById('palette-list');
const said = document.getElementById('palette-said');
const opener = document.getElementById('palette-open');
const pages = [...document.querySelectorAll('.side a')].map((link) => ({ kind: 'Page', title: link.textContent.trim(), hint: '', href: link.getAttribute('href') }));
let options = [];
let at = -1;
let asked = 0;
let waiting;

function mark(next) {
  const shown = [...list.children];
  shown[at]?.setAttribute('aria-selected', 'false');
  at = shown.length ? (next + shown.length) % shown.length : -1;
  shown[at]?.setAttribute('aria-selected', 'true');
  shown[at]?.scrollIntoView({ block: 'nearest' });
  if (at < 0) input.removeAttribute('aria-activedescendant');
  else input.setAttribute('aria-activedescendant', shown[at].id);
}

function show(found, done) {
  options = found;
  list.replaceChildren(...found.map((one, number) => {
    const item = document.createElement('li');
    item.id = `palette-${number}`;
    item.setAttribute('role', 'option');
    item.setAttribute('aria-selected', 'false');
    for (const [text, name] of [[one.kind, 'badge'], [one.title, 'what'], [one.hint, 'hint']]) {
      const part = document.createElement('span');
      part.className = name;
      part.textContent = text;
      item.append(part, ' ');
    }
    return item;
  }));
  input.setAttribute('aria-expanded', String(found.length > 0));
  at = -1;
  mark(0);
  if (done) said.textContent = found.length ? `${found.length} result${found.length === 1 ? '' : 's'}` : 'Nothing is called like that. A request id is searched for whole.';
}

function look() {
  const text = input.value.trim();
  const own = pages.filter((page) => page.title.toLowerCase().includes(text.toLowerCase()));
  show(own, !text);
  clearTimeout(waiting);
  const turn = asked += 1;
  if (!text) return;
  waiting = setTimeout(async () => {
    try {
      const answer = await fetch(`/console/find?${new URLSearchParams({ q: text })}`, { headers: { accept: 'application/json' }, redirect: 'error' });
      if (!answer.ok) throw new Error(answer.statusText);
      const found = await answer.json();
      // What was typed since counts.
      if (turn === asked) show([...own, ...found], true);
    } catch {
      if (turn === asked) said.textContent = 'The search does not answer now; pages are here all the same.';
    }
  }, 120);
}

function open() {
  if (dialog.open) return;
  input.value = '';
  dialog.showModal();
  look();
  input.focus();
}

function go(number) {
  const chosen = options[number];
  // Addresses of our own site only.
  if (chosen && /^\/(?!\/)/.test(chosen.href)) location.assign(chosen.href);
}

opener?.addEventListener('click', open);
document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    if (dialog.open) dialog.close();
    else open();
  }
});
input.addEventListener('input', look);
input.addEventListener('keydown', (event) => {
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: Math.min(at + 6, options.length - 1), PageUp: Math.max(at - 6, 0) };
  if (event.key in moves) {
    event.preventDefault();
    mark(moves[event.key]);
  } else if (event.key === 'Enter') {
    event.preventDefault();
    go(at);
  }
});
list.addEventListener('click', (event) => {
  const item = event.target.closest('[role=option]');
  if (item) go([...list.children].indexOf(item));
});
// Beside the dialog is outside of it.
dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener('close', () => { clearTimeout(waiting); asked += 1; });
