//! Where people may be sent back to after logging in.

use url::Url;

use super::Kind;

/// RFC 9700 §2.1, RFC 8252 §7: https, and on the user's own machine what is loopback or an app's own scheme.
pub(super) fn check_redirect(kind: Kind, uri: &str) -> Result<(), &'static str> {
    // `Url` drops tabs and line ends, and what is kept is what was written.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is written in visible ASCII characters (RFC 3986)");
    }
    let url = Url::parse(uri).map_err(|_| "is no absolute URI")?;
    if url.fragment().is_some() {
        return Err("has a fragment (RFC 6749 §3.1.2)");
    }
    if uri.len() > 2000 || uri.contains('*') || !url.username().is_empty() || url.password().is_some() {
        return Err("is compared to the letter: no wildcards, no user, at most 2000 characters");
    }
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => Err("must be https, since a code travels over it; http is for this machine only"),
        "javascript" | "data" | "file" | "blob" | "about" | "vbscript" => Err("is no address to send people to"),
        scheme if kind == Kind::Native && scheme.contains('.') => Ok(()),
        _ if kind == Kind::Native => Err("a scheme of one's own has a dot, such as com.example.app (RFC 8252 §7.1)"),
        _ => Err("must be https"),
    }
}
