//! UserInfo (OpenID Connect Core §5.3): claims about the user, for the bearer of a token with `openid`.
//! The token comes in the Authorization header only (RFC 6750 §2.1); never in the query or body.

mod http;

use base::scope::Scopes;
use serde_json::{Map, Value};

pub use http::routes;

use crate::claims::{self, Person};
use crate::clients::ClientSpec;
use crate::scopes::Catalog;

/// The standard claims of the scopes, and what scopes that belong to no resource server bring by contract.
fn claims_of(catalog: &Catalog, person: &Person, client: &ClientSpec, scopes: &Scopes) -> Map<String, Value> {
    let ours: Scopes = scopes.iter().filter(|scope| catalog.audience_of(scope).is_none()).collect();
    let mut out = Map::new();
    out.insert("sub".to_owned(), person.user_id.as_str().into());
    out.extend(claims::contracted(catalog, Some(person), client, &ours).claims);
    out.extend(claims::standard(person, scopes));
    out
}
