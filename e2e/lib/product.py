"""The product under test for Python suites: `cardea dev` on free ports with a data folder of its own."""

import collections
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin

import requests


class Product:
    def __init__(self):
        self.binary = os.environ["CARDEA_BIN"]
        self.data = tempfile.mkdtemp(prefix="cardea-dev-")
        self.log = collections.deque(maxlen=80)
        for attempt in range(3):
            self.process = subprocess.Popen(
                [self.binary, "dev", "--json", "--port", str(free_ports(6)), "--data", self.data],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            ready = threading.Event()
            threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
            if ready.wait(30) and hasattr(self, "issuer"):
                return
            self.stop(keep=True)
        raise RuntimeError("cardea dev did not start:\n" + "\n".join(self.log))

    def _read(self, process, ready):
        for line in process.stdout:
            self.log.append(line.rstrip())
            if line.startswith('{"gateway"'):
                self.__dict__.update(json.loads(line))
                ready.set()
        ready.set()

    def stop(self, keep=False):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if not keep:
            shutil.rmtree(self.data, ignore_errors=True)

    def client(self, name, redirect_uris=(), logout_uris=(), grants=(), scopes=()):
        spec = {
            "redirectUris": redirect_uris, "postLogoutRedirectUris": logout_uris, "grantTypes": grants, "scopes": scopes,
            "attributes": {"account_nr": "4711-0815"},
        }
        self.admin("apply", "-f", "-", text=json.dumps({"kind": "Client", "name": name, "spec": spec}))
        return json.loads(self.admin("client", "secret", "add", name))

    def admin(self, *args, text=None):
        """`cardea COMMAND… --server … --json` and what it prints."""
        args = [self.binary, *args, "--server", self.ops, "--admin-token", self.admin_token, "--json"]
        done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def call(self, token, where="/echo/hi"):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return requests.get(self.gateway + where, headers=headers, timeout=10)


class Person:
    """A person with a browser without JavaScript."""

    def __init__(self, username, password, decision="allow"):
        self.session = requests.Session()
        self.fields = {"username": username, "password": password}
        self.decision = decision

    def authorize(self, url, redirect_uri):
        """From an authorization request to the redirect back, which is not fetched."""
        answer = self._open("GET", url, redirect_uri)
        for _ in range(8):
            if isinstance(answer, str):
                return answer
            forms = Forms.of(answer.text)
            form = next((form for form in forms if form.asks("password") or any(value == "allow" for _, value in form.buttons)), None)
            assert form, f"{answer.status_code} at {answer.url}:\n{re.sub('<[^>]*>', ' ', answer.text)[:600]}"
            if form.asks("password"):
                fields = [(name, self.fields.get(name, value)) for name, value in form.fields] + form.pressed(form.buttons[0][1])
            else:
                fields = form.fields + form.pressed(self.decision)
            answer = self._open("POST", urljoin(answer.url, form.action or answer.url), redirect_uri, fields)
        raise AssertionError("too many pages on the way")

    def _open(self, method, url, stop_at, fields=None):
        for _ in range(20):
            if url.startswith(stop_at):
                return url
            # `requests` keeps localhost's cookies by host name, as browsers do.
            answer = self.session.request(method, url, data=fields, allow_redirects=False, timeout=10)
            onward = answer.headers.get("location")
            if answer.status_code not in (301, 302, 303):
                # As browsers do without a script: the page goes on by itself.
                refresh = re.match("0; *url=(.+)", answer.headers.get("refresh", ""), re.I)
                if not refresh:
                    return answer
                onward = refresh[1]
            method, fields, url = "GET", None, urljoin(url, onward)
        raise AssertionError("too many redirects")

    def log_out(self, url, goodbye):
        """From a logout request to the redirect back, with a yes when it is asked for."""
        answer = self._open("GET", url, goodbye)
        if isinstance(answer, str):
            return answer
        form = Forms.of(answer.text)[0]
        fields = form.fields + (form.pressed(form.buttons[0][1]) if form.buttons else [("logout", "yes")])
        back = self._open("POST", urljoin(answer.url, form.action or answer.url), goodbye, fields)
        assert isinstance(back, str), back.text[:600]
        return back


class Forms(HTMLParser):
    class Form:
        def __init__(self, action):
            self.action, self.fields, self.buttons = action, [], []

        def asks(self, name):
            return any(field == name for field, _ in self.fields)

        def pressed(self, value):
            return [button for button in self.buttons if button[1] == value and button[0]][:1]

    def __init__(self):
        super().__init__()
        self.found = []

    @classmethod
    def of(cls, html):
        parser = cls()
        parser.feed(html)
        return parser.found

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.found.append(self.Form(attrs.get("action")))
        elif self.found and tag == "button":
            self.found[-1].buttons.append((attrs.get("name"), attrs.get("value", "")))
        elif self.found and tag == "input" and attrs.get("name"):
            if attrs.get("type") not in ("checkbox", "radio") or "checked" in attrs:
                self.found[-1].fields.append((attrs["name"], attrs.get("value", "")))


def free_ports(count):
    """The first of `count` neighbouring ports that are free now."""
    for _ in range(50):
        held = []
        try:
            held.append(bound(0))
            base = held[0].getsockname()[1]
            for at in range(1, count):
                held.append(bound(base + at))
            return base
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    raise RuntimeError("no free ports in a row")


def bound(port):
    one = socket.socket()
    one.bind(("127.0.0.1", port))
    return one


def until(what, question, within=5.0):
    end = time.monotonic() + within
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.005)
    raise AssertionError(f"not within {within} s: {what}")


def query(url):
    return dict(parse_qsl(url.split("?", 1)[1]))
