//! The administration interface: clients, users, scopes, resource servers, keys, sessions, grants, tokens, audit.
//!
//! Reading and writing of the resources that `cardea apply` brings, and the acts that are no resources.
//! Errors are RFC 9457 problems. Every route stands behind the guard `admin`; a handler takes [`answer::AdminCx`],
//! which refuses where the guard did not stand before it. It holds no rules: those are the slices'.

mod answer;
mod apply;
mod audit;
mod clients;
mod documents;
mod grants;
mod guard;
mod keys;
mod registration;
mod scopes;
#[cfg(test)]
mod tests;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post};

pub use answer::Body;
pub use apply::{Document, apply};
pub use documents::{KINDS, key_of};
pub use guard::{Admin, AdminTokens, guard};

use crate::SharedIdentity;

/// A file with some ten thousand clients.
const MAX_BODY: usize = 32 << 20;

/// Every route of this interface; its guard is `admin`, without exception.
fn list() -> Vec<(&'static str, MethodRouter<SharedIdentity>)> {
    vec![
        ("/admin/v1/apply", post(apply::apply_resources)),
        ("/admin/v1/export", get(apply::export_resources)),
        ("/admin/v1/clients", get(clients::list_clients)),
        (
            "/admin/v1/clients/{client}",
            get(clients::show_client).put(clients::put_client).delete(clients::delete_client),
        ),
        ("/admin/v1/clients/{client}/disable", post(clients::disable_client)),
        ("/admin/v1/clients/{client}/enable", post(clients::enable_client)),
        ("/admin/v1/clients/{client}/suspend", post(clients::suspend_client)),
        ("/admin/v1/clients/{client}/resume", post(clients::resume_client)),
        ("/admin/v1/clients/{client}/grants", get(grants::list_grants_of_client)),
        ("/admin/v1/clients/{client}/secrets", post(clients::add_secret)),
        ("/admin/v1/clients/{client}/secrets/{secret}", delete(clients::remove_secret)),
        (
            "/admin/v1/registration-tokens",
            get(registration::list_registration_tokens).post(registration::create_registration_token),
        ),
        ("/admin/v1/registration-tokens/{token}", delete(registration::delete_registration_token)),
        ("/admin/v1/users", get(users::list_users)),
        ("/admin/v1/users/{user}", get(users::show_user).put(users::put_user).delete(users::delete_user)),
        ("/admin/v1/users/{user}/password", post(users::set_password)),
        ("/admin/v1/users/{user}/disable", post(users::disable_user)),
        ("/admin/v1/users/{user}/enable", post(users::enable_user)),
        ("/admin/v1/users/{user}/sessions", get(users::list_sessions).delete(users::end_sessions)),
        ("/admin/v1/users/{user}/grants", get(grants::list_grants_of_user)),
        ("/admin/v1/scopes", get(scopes::list_scopes)),
        ("/admin/v1/scopes/{scope}", get(scopes::show_scope).put(scopes::put_scope).delete(scopes::delete_scope)),
        ("/admin/v1/resource-servers", get(scopes::list_resource_servers)),
        (
            "/admin/v1/resource-servers/{name}",
            get(scopes::show_resource_server).put(scopes::put_resource_server).delete(scopes::delete_resource_server),
        ),
        ("/admin/v1/keys", get(keys::list_keys)),
        ("/admin/v1/keys/rotate", post(keys::rotate_keys)),
        ("/admin/v1/keys/{kid}/kill", post(keys::kill_key)),
        ("/admin/v1/sessions/{session}/end", post(users::end_session)),
        ("/admin/v1/grants/{grant}/revoke", post(grants::revoke_grant)),
        ("/admin/v1/tokens/revoke", post(grants::revoke_token)),
        ("/admin/v1/audit", get(audit::list_audit)),
        ("/admin/v1/audit/verify", get(audit::verify_audit)),
    ]
}

/// The routes, to be put behind [`guard`].
pub fn routes(identity: SharedIdentity) -> Router {
    let mut router = Router::new();
    for (path, methods) in list() {
        router = router.route(path, methods);
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY)).with_state(identity)
}
