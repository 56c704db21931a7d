//! `/metrics`: what all roles count, as one page (OpenMetrics).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;

use super::Ops;

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const END: &str = "# EOF\n";

pub async fn show(State(ops): State<Arc<Ops>>) -> Response {
    let identity = ops.roles.identity.iter().map(|identity| identity.metrics.render());
    let entitlement = ops.roles.entitlement.iter().map(|entitlement| entitlement.metrics.render());
    let gateway = ops.roles.gateway.iter().map(|gateway| gateway.metrics_text());
    let text = joined(identity.chain(entitlement).chain(gateway));
    ([(header::CONTENT_TYPE, TYPE), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// Each page ends with the mark of its end; the whole has one, at the end.
fn joined(pages: impl Iterator<Item = String>) -> String {
    let mut text: String = pages.map(|page| page.strip_suffix(END).map_or(page.clone(), str::to_owned)).collect();
    text.push_str(END);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_ends_once() {
        let pages = ["a 1\n# EOF\n".to_owned(), "b 2\n# EOF\n".to_owned()];

        assert_eq!(joined(pages.into_iter()), "a 1\nb 2\n# EOF\n");
    }
}
