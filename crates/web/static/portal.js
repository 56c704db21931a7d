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

// What happens now is looked at again, unless somebody is at work in it.
for (const part of document.querySelectorAll('[data-live]')) {
  const again = async () => {
    const busy = document.hidden || part.contains(document.activeElement) || !getSelection().isCollapsed;
    if (!busy) {
      try {
        const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const fresh = page.getElementById(part.id);
        if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
      } catch { return; }
    }
    setTimeout(again, 2000);
  };
  setTimeout(again, 2000);
}
