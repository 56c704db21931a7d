#![expect(clippy::expect_used, clippy::panic, reason = "an actor that cannot play its part must fail loudly")]

//! A person's browser without scripts: keeps cookies, follows redirects inside one origin, fills forms in.
//!
//! It asks a router in process. Where it would leave the origin it stops, and the test looks at where it was sent.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use tower::ServiceExt as _;

/// More redirects in a row are a loop.
const MAX_REDIRECTS: usize = 10;

#[derive(Clone)]
pub struct Browser {
    app: Router,
    origin: String,
    pub cookies: BTreeMap<String, String>,
    pub network: IpAddr,
    /// Sent with every request, over what the browser itself sends.
    pub extra: HeaderMap,
}

/// What came of a request, after redirects.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: StatusCode,
    /// Path and query at this origin, or the whole address where the browser left it.
    pub url: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// A form as it stands on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    /// What is sent if nothing is changed: hidden and filled fields, ticked boxes; no buttons.
    pub fields: Vec<(String, String)>,
}

impl Browser {
    pub fn new(app: Router, origin: &str) -> Self {
        let network = IpAddr::from([192, 0, 2, 1]);
        Self { app, origin: origin.to_owned(), cookies: BTreeMap::new(), network, extra: HeaderMap::new() }
    }

    /// The same machine and programs, without cookies.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { cookies: BTreeMap::new(), ..self.clone() }
    }

    #[must_use]
    pub fn from(mut self, network: &str) -> Self {
        self.network = network.parse().expect("an address");
        self
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.extra.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"));
        self
    }

    pub async fn get(&mut self, url: &str) -> Page {
        let page = self.send(Method::GET, url, None, "none").await;
        self.follow(page).await
    }

    /// Sends the form with this id as it stands, with these fields set.
    pub async fn submit(&mut self, page: &Page, form: &str, set: &[(&str, &str)]) -> Page {
        let form = page.form(form);
        self.post(&form.action, &form.with(set)).await
    }

    /// As a form of the same origin does; our pages say `no-referrer`, and so `Origin` is `null`.
    pub async fn post(&mut self, url: &str, fields: &[(String, String)]) -> Page {
        let page = self.post_once(url, fields).await;
        self.follow(page).await
    }

    /// Without following the answer.
    pub async fn post_once(&mut self, url: &str, fields: &[(String, String)]) -> Page {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        self.send(Method::POST, url, Some(body.finish()), "same-origin").await
    }

    pub async fn get_once(&mut self, url: &str) -> Page {
        self.send(Method::GET, url, None, "none").await
    }

    async fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..MAX_REDIRECTS {
            let refresh = page.header("refresh").strip_prefix("0; url=");
            let Some(location) = page.location().or(refresh).map(str::to_owned) else {
                return page;
            };
            match location.strip_prefix(&self.origin).filter(|rest| rest.starts_with('/')) {
                Some(path) => page = self.send(Method::GET, path, None, "same-origin").await,
                None if location.starts_with('/') && !location.starts_with("//") => {
                    page = self.send(Method::GET, &location, None, "same-origin").await;
                }
                None => return Page { url: location, ..page },
            }
        }
        panic!("redirected in a circle at {}", page.url);
    }

    async fn send(&mut self, method: Method, url: &str, body: Option<String>, fetch_site: &str) -> Page {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::HOST, "whoever.example")
            .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
            .header("sec-fetch-site", fetch_site)
            .header("sec-fetch-mode", "navigate")
            .extension(ConnectInfo(SocketAddr::new(self.network, 40_000)));
        if !self.cookies.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, all.join("; "));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            request = request.header(header::ORIGIN, "null");
        }
        let mut request = request.body(body.map_or_else(Body::empty, Body::from)).expect("a request");
        for (name, value) in &self.extra {
            request.headers_mut().insert(name, value.clone());
        }
        let response = self.app.clone().oneshot(request).await.expect("a router answers");
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().expect("a cookie is text"));
        }
        let body = axum::body::to_bytes(body, 1 << 22).await.expect("a whole body");
        let body = String::from_utf8_lossy(&body).into_owned();
        Page { status: parts.status, url: url.to_owned(), headers: parts.headers, body }
    }

    /// Keeps a cookie as browsers do, `__Host-` names only with what they promise (RFC 6265bis §4.1.3.2).
    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').expect("a cookie has a name");
        let has = |attribute: &str| attributes.split(';').any(|found| found.trim().eq_ignore_ascii_case(attribute));
        assert!(has("HttpOnly"), "a cookie that scripts can read: {name}");
        let host_bound = has("Secure") && has("Path=/") && !attributes.to_ascii_lowercase().contains("domain");
        assert!(!name.starts_with("__Host-") || host_bound, "browsers drop this cookie: {name}");
        if has("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Page {
    pub fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION)?.to_str().ok()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A parameter of the address that the browser was sent to.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.url.split_once('?')?.1;
        let query = query.split('#').next()?;
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The text of the first element with this tag, without tags inside.
    pub fn text(&self, tag: &str) -> String {
        let inner = self.body.split(&format!("<{tag}")).nth(1).and_then(|rest| rest.split_once('>'));
        let inner = inner.and_then(|(_, rest)| rest.split(&format!("</{tag}>")).next()).unwrap_or_default();
        unescape(strip_tags(inner).trim())
    }

    /// The form with this id, or whose action this is.
    pub fn form(&self, id: &str) -> Form {
        let forms = self.body.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap_or_default());
        let found = forms.map(|text| text.split_once('>').unwrap_or((text, ""))).find(|(head, _)| {
            attribute(head, "id").as_deref() == Some(id) || attribute(head, "action").as_deref() == Some(id)
        });
        let Some((head, content)) = found else {
            panic!("no form `{id}` at {} ({}): {}", self.url, self.status, self.body);
        };
        let mut form = Form { action: attribute(head, "action").unwrap_or_default(), fields: Vec::new() };
        for input in content.split("<input").skip(1) {
            let input = input.split('>').next().unwrap_or_default();
            let Some(name) = attribute(input, "name") else { continue };
            let off = attribute(input, "type").as_deref() == Some("checkbox") && !input.contains(" checked");
            if !off {
                form.fields.push((name, attribute(input, "value").unwrap_or_default()));
            }
        }
        form
    }
}

impl Form {
    /// The fields with these set, added where they are not there.
    pub fn with(&self, set: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        for (name, value) in set {
            match fields.iter_mut().find(|(key, _)| key == name) {
                Some(field) => field.1 = (*value).to_owned(),
                None => fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        fields
    }

    /// The fields less the one with this name and value.
    #[must_use]
    pub fn without(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|field| field.0 != name || field.1 != value);
        self
    }

    pub fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str()).unwrap_or_default()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let after = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(unescape(after.split('"').next()?))
}

fn strip_tags(html: &str) -> String {
    html.split('<').enumerate().fold(String::new(), |mut text, (at, part)| {
        text.push_str(if at == 0 { part } else { part.split_once('>').map_or("", |(_, rest)| rest) });
        text
    })
}

fn unescape(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
