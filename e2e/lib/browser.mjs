// A browser without JavaScript: cookies, redirects and forms. It reads pages as a person does: it
// fills the fields it sees, by name, and presses a button. It does not use `fetch`, which calls itself one.
import http from 'node:http';
import https from 'node:https';

export class Browser {
  #cookies = [];

  /** `agent` makes its connections: a CA to trust, an address to come from. */
  constructor({ headers = {}, agent } = {}) {
    this.headers = headers;
    this.agent = agent;
    /** Every address that it asked. */
    this.visited = [];
  }

  /** Follows redirects up to an address that `stopAt` begins; that one is not fetched: its `landed`. */
  async open(url, { stopAt, method = 'GET', body } = {}) {
    let address = new URL(url);
    for (let hop = 0; hop < 20; hop += 1) {
      if (stopAt && address.href.startsWith(stopAt)) return { landed: address, url: address, forms: [], text: '' };
      const headers = {
        accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': body ? 'same-origin' : 'none',
        ...this.headers, cookie: this.#cookiesFor(address),
      };
      if (body) {
        headers['content-type'] = 'application/x-www-form-urlencoded';
        headers.origin = address.origin;
      }
      this.visited.push(address);
      const answer = await exchange(address, method, headers, body, this.agent);
      this.#remember(address, answer.headers.getSetCookie());
      const location = answer.headers.get('location');
      if (location && answer.status >= 300 && answer.status < 400) {
        if (answer.status !== 307 && answer.status !== 308) { method = 'GET'; body = undefined; }
        address = new URL(location, address);
        continue;
      }
      // As browsers do without a script: the page goes on by itself.
      const onward = /^0; *url=(.+)$/i.exec(answer.headers.get('refresh') ?? '')?.[1];
      if (onward) { method = 'GET'; body = undefined; address = new URL(onward, address); continue; }
      return { url: address, ...answer, forms: forms(answer.text, address) };
    }
    throw new Error(`more than 20 redirects from ${url}`);
  }

  /** Presses a button of a form, with these fields filled. */
  submit(form, values = {}, { button, stopAt } = {}) {
    const fields = new URLSearchParams();
    for (const field of form.fields) {
      if (field.type === 'checkbox' || field.type === 'radio') {
        if (field.name in values ? values[field.name] : field.checked) fields.append(field.name, field.value || 'on');
      } else if (field.name) {
        fields.append(field.name, values[field.name] ?? field.value);
      }
    }
    const pressed = button ?? form.buttons[0];
    if (pressed?.name) fields.append(pressed.name, pressed.value);
    const action = new URL(pressed?.action || form.action);
    if (form.method === 'GET') {
      action.search = fields;
      return this.open(action, { stopAt });
    }
    return this.open(action, { stopAt, method: 'POST', body: fields });
  }

  cookies() {
    return this.#cookies.map((cookie) => ({ ...cookie }));
  }

  forget() {
    this.#cookies = [];
  }

  #cookiesFor(url) {
    return this.#cookies
      .filter((cookie) => cookie.host === url.hostname && url.pathname.startsWith(cookie.path))
      .map((cookie) => `${cookie.name}=${cookie.value}`)
      .join('; ');
  }

  #remember(url, lines) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair.indexOf('=');
      const cookie = { name: pair.slice(0, at), value: pair.slice(at + 1), host: url.hostname, path: '/', attributes };
      let gone = cookie.value === '';
      for (const attribute of attributes) {
        const [name, value = ''] = attribute.split('=');
        if (name.toLowerCase() === 'path' && value) cookie.path = value;
        if (name.toLowerCase() === 'max-age' && Number(value) <= 0) gone = true;
        if (name.toLowerCase() === 'expires' && Date.parse(value) < Date.now()) gone = true;
      }
      this.#cookies = this.#cookies.filter((old) => !(old.name === cookie.name && old.host === cookie.host && old.path === cookie.path));
      if (!gone) this.#cookies.push(cookie);
    }
  }
}

/**
 * Goes from an authorization request to the redirect back: logs in when asked, decides when asked.
 * `steps` names what was asked on the way.
 */
export async function authorize(browser, url, redirectUri, { username, password, decision = 'allow' } = {}) {
  let page = await browser.open(url, { stopAt: redirectUri });
  const steps = [];
  for (let step = 0; step < 8; step += 1) {
    if (page.landed) return { url: page.landed, steps };
    const login = page.forms.find((form) => form.fields.some((field) => field.name === 'password'));
    const consent = page.forms.find((form) => form.buttons.some((button) => button.value === 'allow'));
    if (login) {
      if (steps.includes('login')) throw new Error(`the login page came again:\n${readable(page.text)}`);
      steps.push('login');
      page = await browser.submit(login, { username, password }, { stopAt: redirectUri });
    } else if (consent) {
      steps.push('consent');
      const button = consent.buttons.find((one) => one.value === decision);
      if (!button) throw new Error(`no button \`${decision}\``);
      page = await browser.submit(consent, {}, { button, stopAt: redirectUri });
    } else {
      throw new Error(`${page.status} at ${page.url}, and nothing to fill in:\n${readable(page.text)}`);
    }
  }
  throw new Error('too many pages on the way');
}

/** From a logout request to the address afterwards, with a yes where one is asked for. */
export async function logOut(browser, url, goodbye) {
  const page = await browser.open(url, { stopAt: goodbye });
  if (page.landed) return page.landed;
  const button = page.forms[0]?.buttons[0] ?? { name: 'logout', value: 'yes' };
  const next = await browser.submit(page.forms[0], {}, { button, stopAt: goodbye });
  if (!next.landed) throw new Error(`${next.status} at ${next.url} instead of the way back:\n${readable(next.text)}`);
  return next.landed;
}

/** A page's words, for messages. */
export function readable(html) {
  return html.replace(/<(style|script|head)[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 600);
}

function exchange(url, method, headers, body, agent) {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, { method, headers, agent, timeout: 15_000 }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => {
        const all = new Headers();
        for (let at = 0; at < answer.rawHeaders.length; at += 2) all.append(answer.rawHeaders[at], answer.rawHeaders[at + 1]);
        resolve({ status: answer.statusCode, headers: all, text: Buffer.concat(parts).toString() });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url}`)));
    request.on('error', reject);
    request.end(body?.toString());
  });
}

function forms(html, base) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, own, inner]) => {
    const form = attributes(own);
    const fields = [];
    const buttons = [];
    for (const [, tag, rest, text] of inner.matchAll(/<(input|button|select|textarea)\b([^>]*)>([^<]*)/gi)) {
      const element = attributes(rest);
      const type = (element.type ?? (tag.toLowerCase() === 'button' ? 'submit' : 'text')).toLowerCase();
      if (type === 'submit' || type === 'image') {
        buttons.push({
          name: element.name, value: element.value ?? '', text: text.trim(),
          action: element.formaction && new URL(element.formaction, base).href,
        });
      } else if (type !== 'button' && type !== 'reset') {
        fields.push({ name: element.name, type, value: element.value ?? '', checked: 'checked' in element, autocomplete: element.autocomplete });
      }
    }
    return { action: new URL(form.action || base.href, base).href, method: (form.method || 'GET').toUpperCase(), fields, buttons };
  });
}

function attributes(text) {
  const found = {};
  for (const [, name, , double, single, bare] of text.matchAll(/([\w-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) {
    found[name.toLowerCase()] = unescape(double ?? single ?? bare ?? '');
  }
  return found;
}

function unescape(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return named[name] ?? all;
  });
}
