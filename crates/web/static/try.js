// "Try it": the page asks its server for a token of the organisation, and calls the gateway itself.
const form = document.getElementById('try-form');

const said = (text) => { document.getElementById('try-state').textContent = text; };

async function token() {
  if (!form.dataset.token) return null;
  const kept = form.access;
  if (kept && kept.until > Date.now()) return kept.token;
  const answer = await fetch(form.dataset.token, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ csrf: form.dataset.csrf, operation: form.dataset.operation }),
  });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail || body.title || 'there is no token'), { link: body.link });
  // Gateways know a subscription that was just made within a second.
  if (body.fresh) await new Promise((go) => { setTimeout(go, 1200); });
  form.access = { token: body.access_token, until: Date.now() + (body.expires_in - 20) * 1000 };
  return body.access_token;
}

function request() {
  let url = form.dataset.url;
  const query = new URLSearchParams();
  const headers = {};
  for (const field of form.querySelectorAll('[data-in]')) {
    const { in: place, name } = field.dataset;
    // A parameter over several segments keeps its slashes.
    if (place === 'path') url = url.replace(`{${name}}`, field.value.split('/').map(encodeURIComponent).join('/'));
    else if (field.value && place === 'query') query.append(name, field.value);
    else if (field.value) headers[name] = field.value;
  }
  const body = document.getElementById('try-body');
  if (body) headers['content-type'] = form.dataset.type;
  const text = query.toString();
  return [text ? `${url}?${text}` : url, { method: form.dataset.method, headers, body: body?.value, mode: 'cors', credentials: 'omit', cache: 'no-store' }];
}

function pretty(text, type) {
  if (!/json/.test(type ?? '')) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

form?.addEventListener('submit', async (event) => {
  event.preventDefault();
  said('Sending …');
  try {
    const [url, options] = request();
    const access = await token();
    if (access) options.headers.authorization = `Bearer ${access}`;
    const began = performance.now();
    const answer = await fetch(url, options);
    const text = await answer.text();
    const took = Math.round(performance.now() - began);
    document.getElementById('try-answer').hidden = false;
    const status = document.getElementById('try-status');
    status.textContent = `${answer.status} ${answer.statusText}`.trim();
    status.className = `status ${answer.ok ? 'good-text' : 'bad-text'}`;
    document.getElementById('try-took').textContent = `${took} ms, ${text.length} characters`;
    document.getElementById('try-text').textContent = pretty(text, answer.headers.get('content-type')) || '(no body)';
    document.getElementById('try-fields').textContent = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    said('');
  } catch (error) {
    said(error.message === 'Failed to fetch' ? 'The gateway could not be reached, or did not let this page in.' : error.message);
  }
});
