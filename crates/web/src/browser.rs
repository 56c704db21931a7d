//! Which browser is speaking, and that a form was sent by our own page in that browser.

use base::secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

use crate::cookies::SameSite;
use crate::kit::Kit;

const COOKIE: &str = "browser";
const SALT_BYTES: usize = 16;

/// A browser, known by a random cookie that lasts as long as the browser runs. It says nothing about who
/// uses it; forms and what is handed from page to page are bound to it.
#[derive(Debug, Clone)]
pub struct Browser {
    id: String,
    is_new: bool,
}

impl Browser {
    /// What other values are bound to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its first request: it cannot have been given a form yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

/// A form that our own page did not make for this browser, or that another site sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    #[error("the form was sent from another site")]
    CrossSite,
    #[error("the form does not belong to this browser")]
    Token,
}

impl Kit {
    pub fn browser(&self, headers: &HeaderMap) -> Browser {
        let sent = self.cookies().read(headers, COOKIE);
        match sent.filter(|id| URL_SAFE_NO_PAD.decode(id).is_ok_and(|bytes| bytes.len() == 32)) {
            Some(id) => Browser { id, is_new: false },
            None => Browser { id: base::random::text::<32>(), is_new: true },
        }
    }

    pub(crate) fn browser_cookie(&self, browser: &Browser) -> Option<HeaderValue> {
        if !browser.is_new {
            return None;
        }
        self.cookies().set(COOKIE, &browser.id, None, SameSite::Lax)
    }

    /// The token for a form's hidden field `csrf`, good for this browser and purpose only.
    pub fn csrf(&self, browser: &Browser, purpose: &str) -> String {
        // Salted, so that the same token never stands twice in compressed answers (BREACH).
        let salt = base::random::bytes::<SALT_BYTES>();
        let mut token = salt.to_vec();
        token.extend_from_slice(&self.csrf_tag(&salt, browser, purpose));
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Every POST that changes something passes here first: not from another site, and from our own form.
    pub fn guard(&self, headers: &HeaderMap, browser: &Browser, purpose: &str, token: &str) -> Result<(), Forged> {
        self.same_site(headers)?;
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| Forged::Token)?;
        let (salt, tag) = token.split_at_checked(SALT_BYTES).ok_or(Forged::Token)?;
        let expected = self.csrf_tag(salt, browser, purpose);
        if browser.is_new || !secret::equal(&expected, tag) {
            return Err(Forged::Token);
        }
        Ok(())
    }

    /// `Sec-Fetch-Site` and `Origin` where they are sent. `Origin: null` says nothing: our own pages ask for no
    /// referrer, and then a browser sends `null` with their forms too (Fetch, "serialize request origin").
    /// Sandboxed frames also send it, but with `Sec-Fetch-Site: cross-site`, and they have no token.
    fn same_site(&self, headers: &HeaderMap) -> Result<(), Forged> {
        // `none`: the user's own doing, such as sending a form again after a restart.
        let fetch_site = headers.get("sec-fetch-site");
        if fetch_site.is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(Forged::CrossSite);
        }
        for origin in headers.get_all(header::ORIGIN) {
            if origin != "null" && origin.as_bytes() != self.origin().as_bytes() {
                return Err(Forged::CrossSite);
            }
        }
        Ok(())
    }

    fn csrf_tag(&self, salt: &[u8], browser: &Browser, purpose: &str) -> [u8; 32] {
        self.mac(&[b"csrf", salt, browser.id.as_bytes(), purpose.as_bytes()])
    }
}
