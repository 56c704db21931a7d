//! The portal: what developers see and do. Rules and rights are those of the slices that it shows; here is what a page
//! makes of them.

mod applications;
mod catalogue;
mod invoices;
pub(crate) mod organisation;
pub(crate) mod reference;
mod schema;
mod snippets;
pub(crate) mod subscribe;
#[cfg(test)]
mod tests;
mod try_it;
pub(crate) mod usage;

use axum::routing::{get, post};

use crate::router::{Guard, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/", Guard::Public, get(catalogue::show)),
        ("/apis/{api}", Guard::Public, get(catalogue::show_api)),
        ("/apis/{api}/document.json", Guard::Public, get(catalogue::document)),
        ("/apis/{api}/operations/{operation}", Guard::Public, get(catalogue::show_operation)),
        ("/apis/{api}/token", Guard::Public, post(try_it::lend)),
        ("/applications", Guard::Public, get(applications::list)),
        ("/applications/new", Guard::Public, get(applications::new).post(applications::make)),
        ("/applications/{application}", Guard::Public, get(applications::show).post(applications::change)),
        ("/apis/{api}/subscribe", Guard::Public, post(subscribe::subscribe)),
        ("/subscriptions/{subscription}", Guard::Public, get(subscribe::show).post(subscribe::change)),
        ("/usage", Guard::Public, get(usage::show)),
        ("/calls/{request}", Guard::Public, get(usage::show_call)),
        ("/invoices", Guard::Public, get(invoices::list)),
        ("/invoices/{invoice}", Guard::Public, get(invoices::show)),
        ("/invoices/{invoice}/csv", Guard::Public, get(invoices::csv)),
        ("/invoices/{invoice}/json", Guard::Public, get(invoices::json)),
        ("/invoices/{invoice}/lines/{line}/{format}", Guard::Public, get(invoices::calls)),
        ("/organisation", Guard::Public, get(organisation::show).post(organisation::change)),
        ("/invitation", Guard::Public, get(organisation::invited).post(organisation::accept)),
    ]
}
