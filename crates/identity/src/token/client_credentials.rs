//! RFC 6749 §4.4: a client acts by itself. No refresh token; the client asks again.

use base::scope::Scopes;

use super::client_auth::Authenticated;
use super::form::Form;
use super::issue::{self, Plan};
use super::select;
use crate::error::{OAuthError, invalid_scope, unauthorized_client};
use crate::policy::{Login, Requester};
use crate::scopes::{self, Resolved};
use crate::{Cx, grants};

pub(super) async fn exchange(cx: &mut Cx, by: &Authenticated, form: &Form) -> Result<Plan, OAuthError> {
    if by.client.is_public() {
        return Err(unauthorized_client("the grant type needs a client that can show who it is"));
    }
    let requested = select::requested_scopes(form)?;
    let of_users: Scopes = scopes::BUILT_IN.iter().map(|(name, _)| *name).collect();
    if requested.as_ref().is_some_and(|requested| !requested.intersection(&of_users).is_empty()) {
        return Err(invalid_scope("there is no user whom this scope could be about"));
    }
    let resources = form.resources()?;
    let Resolved { scopes, audiences } = scopes::resolve(cx, &by.client, requested.as_ref(), &resources).await?;
    let requester = Requester {
        client: &by.client,
        person: None,
        grant_type: "client_credentials",
        login: Login::default(),
        network: Some(cx.network),
    };
    let selection = select::settle(cx, &requester, &scopes.without(&of_users), audiences).await?;

    let grant = grants::standing(cx, &by.client.client_id, &selection.scopes, &selection.audiences).await?;
    issue::plan(cx, &by.client, grant, selection, issue::Extras::default()).await
}
