//! `/metrics`: what all roles count, as one page (OpenMetrics).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;
use management::Management;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Ops;

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const END: &str = "# EOF\n";

pub async fn show(State(ops): State<Arc<Ops>>) -> Response {
    let identity = ops.roles.identity.iter().map(|identity| identity.metrics.render());
    let entitlement = ops.roles.entitlement.iter().map(|entitlement| entitlement.metrics.render());
    let gateway = ops.roles.gateway.iter().map(|gateway| gateway.metrics_text());
    let management = ops.roles.management.iter().map(|management| management_page(management));
    let text = joined(identity.chain(entitlement).chain(management).chain(gateway));
    ([(header::CONTENT_TYPE, TYPE), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn management_page(management: &Management) -> String {
    let mut registry = Registry::default();
    management.metrics.register(&mut registry);
    let mut page = String::new();
    if let Err(error) = encode(&mut page, &registry) {
        tracing::error!(cause = %error, "figures of the management system cannot be written");
        page.clear();
    }
    page
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
