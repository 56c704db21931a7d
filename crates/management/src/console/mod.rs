//! The console: what the provider's people see and do. Rules and rights are those of the slices behind it.

mod apis;
mod consumers;
mod find;
mod house;
mod live;
mod now;
mod plans;
mod policies;
#[cfg(test)]
pub(crate) mod tests;

use axum::routing::{get, post};

use crate::router::{Guard, Route};

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        ("/console", Guard::Public, get(now::overview)),
        ("/console/calls", Guard::Public, get(now::calls)),
        ("/console/live", Guard::Public, get(live::part)),
        ("/console/calls/{request}", Guard::Public, get(live::call)),
        ("/console/calls/{request}/revoke", Guard::Public, get(live::ask).post(live::revoke)),
        ("/console/find", Guard::Public, get(find::find)),
        ("/console/gateways", Guard::Public, get(now::gateways)),
        ("/console/apis", Guard::Public, get(apis::list)),
        ("/console/import", Guard::Public, get(apis::import_form).post(apis::import)),
        ("/console/apis/{api}", Guard::Public, get(apis::show).post(apis::change)),
        ("/console/apis/{api}/difference", Guard::Public, get(apis::difference)),
        ("/console/plans", Guard::Public, get(plans::list)),
        ("/console/plans/new", Guard::Public, get(plans::new).post(plans::make)),
        ("/console/plans/{plan}", Guard::Public, get(plans::show).post(plans::change)),
        ("/console/approvals", Guard::Public, get(consumers::approvals)),
        ("/console/subscriptions/{subscription}", Guard::Public, post(consumers::decide)),
        ("/console/consumers", Guard::Public, get(consumers::list)),
        ("/console/consumers/{organisation}", Guard::Public, get(consumers::show)),
        ("/console/usage", Guard::Public, get(now::usage).post(now::restart_push)),
        ("/console/audit", Guard::Public, get(house::audit)),
        ("/console/members", Guard::Public, get(house::members).post(house::change_members)),
    ];
    routes.extend(policies::routes());
    routes
}
