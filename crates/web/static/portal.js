// Improves pages that work without it: copying, filters that apply at once.
document.documentElement.classList.add('js');

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    const said = button.textContent;
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = said; }, 1500);
  } catch {
    button.textContent = 'Press Ctrl-C';
  }
});

for (const form of document.querySelectorAll('form.filters')) {
  form.addEventListener('change', (event) => { if (event.target.matches('select')) form.requestSubmit(); });
  // Filters that say nothing are left out of the address.
  form.addEventListener('submit', () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
}

// Menus close when one looks elsewhere.
document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of document.querySelectorAll('details.menu[open]')) { menu.open = false; menu.querySelector('summary').focus(); }
});

// A file chosen is put into the text field that it is for.
for (const input of document.querySelectorAll('input[type=file][data-into]')) {
  input.addEventListener('change', async () => {
    const [file] = input.files;
    if (file) document.getElementById(input.dataset.into).value = await file.text();
  });
}

// What happens now is looked at again, unless somebody is at work in it: the page, or a part of it that has an address of
// its own and answers 204 while nothing is new.
for (const part of document.querySelectorAll('[data-live]')) {
  const from = part.dataset.live.startsWith('/') ? part.dataset.live : null;
  const pause = document.querySelector(`[data-pause="${part.id}"]`);
  pause?.addEventListener('click', () => {
    const off = pause.getAttribute('aria-pressed') !== 'true';
    pause.setAttribute('aria-pressed', String(off));
    pause.textContent = off ? 'Look for new calls again' : 'Stop looking for new calls';
  });
  const look = async () => {
    const answer = await fetch(from ? `${from}?after=${part.dataset.seq}` : location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
    if (answer.status === 204) return true;
    if (!answer.ok) return false;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const fresh = page.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
    if (fresh?.dataset.seq) part.dataset.seq = fresh.dataset.seq;
    return true;
  };
  const again = async () => {
    const busy = document.hidden || part.contains(document.activeElement) || !getSelection().isCollapsed || pause?.getAttribute('aria-pressed') === 'true';
    try {
      if (!busy && !(await look())) return;
    } catch { return; }
    setTimeout(again, from ? 1000 : 2000);
  };
  setTimeout(again, from ? 1000 : 2000);
}
