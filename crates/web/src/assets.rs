//! Static files: named by their content, so that they may be kept for ever.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Path as UrlPath;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "static/"]
struct BuiltIn;

#[derive(Debug, Clone)]
struct Asset {
    content: Vec<u8>,
    media_type: &'static str,
}

/// The files, by their names with the hash in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assets {
    by_name: BTreeMap<String, Asset>,
    hashed: BTreeMap<String, String>,
}

impl Assets {
    /// The built-in files, each replaced by a file of the same name in `overrides`.
    pub(crate) fn load(overrides: Option<&Path>, hash: impl Fn(&[u8]) -> [u8; 32]) -> Self {
        let mut assets = Self::default();
        for name in BuiltIn::iter() {
            let Some((stem, extension)) = name.rsplit_once('.') else { continue };
            let media_type = match extension {
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                "js" => "text/javascript; charset=utf-8",
                _ => "application/octet-stream",
            };
            let replaced = overrides.and_then(|folder| std::fs::read(folder.join(&*name)).ok());
            let built_in = || BuiltIn::get(&name).map(|file| file.data.into_owned());
            let Some(content) = replaced.or_else(built_in) else { continue };
            let short = hash(&content).into_iter().take(9).collect::<Vec<_>>();
            let hashed = format!("{stem}-{}.{extension}", URL_SAFE_NO_PAD.encode(short));
            assets.hashed.insert(name.to_string(), hashed.clone());
            assets.by_name.insert(hashed, Asset { content, media_type });
        }
        assets
    }

    pub(crate) fn hashed(&self, name: &str) -> Option<&str> {
        self.hashed.get(name).map(String::as_str)
    }

    /// `GET /assets/{name}`.
    pub(crate) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let assets = self.clone();
        let serve = move |UrlPath(name): UrlPath<String>| std::future::ready(assets.serve(&name));
        Router::new().route("/assets/{name}", get(serve))
    }

    fn serve(&self, name: &str) -> Response {
        let Some(asset) = self.by_name.get(name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let mut response = Response::new(Body::from(asset.content.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // An SVG opened by itself is a document: it may do nothing.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        response
    }
}
