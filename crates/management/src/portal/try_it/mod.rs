//! "Try it": short-lived tokens for calls from the page of an operation.
//!
//! An organisation tries APIs by an application of its own, named "Try it": registered like any other, subscribed to
//! plans like any other, so that limits, metering and reasons are the real ones. It is the only one whose secret is
//! kept here, sealed. The browser gets the token alone and calls the gateway itself; no call passes through here.

mod http;
mod store;

use base::Secret;
use serde::Serialize;
use serde_json::{Value, json};

pub(super) use http::lend;

use crate::actor::Share;
use crate::applications::{self, Kind, State, Wanted};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::issuer::{self, Credentials};
use crate::plans::{self, Plan};
use crate::subscriptions::{self, Filter};
use crate::{Cx, SharedManagement};
use catalog::{Approval, Money, Needed};

const NAME: &str = "Try it";

/// What an operation asks for.
pub(super) struct Asked<'a> {
    pub organisation: &'a str,
    pub api: &'a str,
    pub subscription: Needed,
    pub scopes: &'a [String],
    /// All scopes of the API, so that the next operation needs no other registration.
    pub all_scopes: &'a [String],
    pub audience: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Lent {
    pub access_token: String,
    pub expires_in: i64,
    /// The plan was just chosen: gateways know it within a second.
    pub fresh: bool,
}

/// A token for one operation: makes the application at the first time, and subscribes it to a plan that is free of
/// charge and given at once. A plan that costs something is chosen by people.
pub(super) async fn token(cx: &Cx, asked: &Asked<'_>) -> Result<Lent, Refused> {
    cx.need_for(asked.organisation, Share::Develop)?;
    let management = &cx.management;
    // For each person alone: the others of an organisation go on.
    management.lent.take_lent(&cx.actor, management.clock.monotonic_ms())?;
    let (application, credentials) = client(cx, asked).await?;
    let fresh = match asked.subscription {
        Needed::Required => subscribe(cx, asked, &application, &credentials.0).await?,
        // Where it goes without, a plan that is free only adds to what is seen.
        Needed::Optional => subscribe(cx, asked, &application, &credentials.0).await.unwrap_or(false),
        Needed::None => false,
    };
    let mut own = cx.again();
    let more = applications::set_api_scopes(&mut own, &application, asked.all_scopes).await?;
    if more {
        own.commit().await?;
    }
    if more || fresh {
        applications::go_on(management, &application).await?;
    }
    let metadata = management.issuer.metadata(management).await?;
    let endpoint = metadata.need(metadata.token_endpoint.as_ref(), "token_endpoint")?;
    let scope = asked.scopes.join(" ");
    let mut form = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        form.push(("scope", scope.as_str()));
    }
    if let Some(audience) = asked.audience {
        form.push(("resource", audience));
    }
    let with = Credentials { id: &credentials.0, secret: credentials.1.expose(), by_form: false };
    let (status, answer) = issuer::post_as(management, endpoint, &with, &form).await?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    match text("access_token").filter(|_| status.is_success()) {
        Some(token) => {
            let mut own = cx.again();
            let object = format!("application:{application}");
            let detail = json!({"api": asked.api, "scopes": asked.scopes, "audience": asked.audience});
            let organisation = Some(asked.organisation);
            audit::record(&mut own, Record { act: "token.lent", object, organisation, detail }).await?;
            own.commit().await?;
            let expires_in = answer.get("expires_in").and_then(Value::as_i64).unwrap_or(60);
            Ok(Lent { access_token: token.to_owned(), expires_in, fresh })
        }
        None => {
            let error = text("error").unwrap_or("no answer").chars().take(60).collect::<String>();
            tracing::warn!(error, "the identity system gives no token for trying an API");
            Err(Refused::Conflict(match error.as_str() {
                "invalid_scope" => "the identity system does not give this scope to the application “Try it”; the API's owner has to let it".to_owned(),
                _ => "the identity system gave no token for the application “Try it”; try again in a few seconds".to_owned(),
            }))
        }
    }
}

/// The application with its `client_id` and secret.
async fn client(cx: &Cx, asked: &Asked<'_>) -> Result<(String, (String, Secret<String>)), Refused> {
    let mut own = cx.again();
    let known = store::find(&mut own, asked.organisation).await?;
    let living = match &known {
        Some(known) => applications::find(&mut own, &known.application).await?,
        None => None,
    };
    let living = living.filter(|found| !matches!(found.state, State::Deleting | State::Deleted));
    drop(own);
    let application = match living {
        Some(found) => found.id,
        None => make(cx, asked, known.is_some()).await?,
    };
    let mut own = cx.again();
    if let Some(held) = store::find(&mut own, asked.organisation).await?
        && let (Some(client), Some(secret)) = (held.client, held.secret)
        && held.application == application
        && let Some(secret) = open(cx, asked.organisation, &secret)
    {
        return Ok((application, (client, secret)));
    }
    // The secret that nobody has seen: it is taken once, and kept in the same transaction.
    let Some(taken) = applications::take_credentials(&mut own, &application).await? else {
        return Err(Refused::Conflict(
            "the identity system has not registered the application “Try it” yet; try again in a few seconds. If its secret was shown to somebody, exchange it on its page first".to_owned(),
        ));
    };
    let sealed = seal(cx, asked.organisation, &taken.secret);
    store::keep(&mut own, asked.organisation, &taken.client, &sealed).await?;
    own.commit().await?;
    Ok((application, (taken.client, taken.secret)))
}

/// Of several at once one makes it.
async fn make(cx: &Cx, asked: &Asked<'_>, again: bool) -> Result<String, Refused> {
    let management: &SharedManagement = &cx.management;
    let mut own = cx.again();
    let at_once = asked.subscription != Needed::Required || free_of_charge(&mut own, asked).await?.is_some();
    let wanted = Wanted {
        name: NAME.to_owned(),
        kind: Kind::Service,
        redirect_uris: Vec::new(),
        // What asks for a subscription gives its scopes with that, and not before.
        scopes: if at_once { asked.all_scopes.to_vec() } else { Vec::new() },
    };
    let made = applications::create_with(&mut own, asked.organisation, &wanted).await?;
    if !store::insert(&mut own, asked.organisation, &made.id, again).await? {
        drop(own);
        let mut own = cx.again();
        let known = store::find(&mut own, asked.organisation).await?;
        return Ok(known.ok_or(Refused::NotFound("application to try with"))?.application);
    }
    own.commit().await?;
    applications::go_on(management, &made.id).await?;
    Ok(made.id)
}

/// True if a subscription has just been made.
async fn subscribe(cx: &Cx, asked: &Asked<'_>, application: &str, client: &str) -> Result<bool, Refused> {
    let mut own = cx.again();
    let filter = Filter {
        organisation: Some(asked.organisation.to_owned()),
        application: Some(application.to_owned()),
        ..Filter::default()
    };
    let has = |plan: &Plan| plan.spec.apis.iter().any(|api| api == asked.api);
    for subscription in subscriptions::list(&mut own, &filter, 100).await? {
        let plan = plans::find(&mut own, &subscription.plan).await?;
        if subscription.state.is_living() && plan.is_some_and(|plan| has(&plan)) {
            return match subscription.state {
                subscriptions::State::Active => Ok(false),
                state => Err(Refused::Conflict(format!(
                    "the subscription of the application “Try it” is {}; it has to be in force first",
                    state.as_str()
                ))),
            };
        }
    }
    let Some(plan) = free_of_charge(&mut own, asked).await? else {
        return Err(Refused::Conflict(
            "no plan with this API is free of charge and given at once; subscribe the application “Try it” to a plan on the API's page".to_owned(),
        ));
    };
    let wanted = subscriptions::Wanted {
        organisation: asked.organisation.to_owned(),
        application: application.to_owned(),
        client: Some(client.to_owned()),
        plan: plan.name.clone(),
        note: None,
    };
    let made = subscriptions::request(&mut own, wanted).await?;
    own.commit().await?;
    if made.state != subscriptions::State::Active {
        let why = "the provider has to approve the subscription of the application “Try it” first";
        return Err(Refused::Conflict(why.to_owned()));
    }
    Ok(true)
}

/// A plan with the API that can be had without asking and paying.
async fn free_of_charge(cx: &mut Cx, asked: &Asked<'_>) -> Result<Option<Plan>, Refused> {
    let fits = |plan: &Plan| plan.spec.apis.iter().any(|api| api == asked.api) && costs_nothing(plan);
    let offered = plans::offered(cx, asked.organisation).await?;
    Ok(offered.into_iter().find(|plan| fits(plan) && plan.spec.approval == Approval::Automatic))
}

fn costs_nothing(plan: &Plan) -> bool {
    plan.spec
        .price
        .as_ref()
        .is_none_or(|price| price.monthly == Money::ZERO && price.tiers.iter().all(|tier| tier.unit == Money::ZERO))
}

fn seal(cx: &Cx, organisation: &str, secret: &Secret<String>) -> String {
    let key = cx.management.seal.derive("try it");
    jose::hash::base64url(&key.seal(organisation.as_bytes(), secret.expose().as_bytes()))
}

fn open(cx: &Cx, organisation: &str, sealed: &str) -> Option<Secret<String>> {
    let key = cx.management.seal.derive("try it");
    let bytes = key.open(organisation.as_bytes(), &jose::hash::base64url_decode(sealed)?)?;
    String::from_utf8(bytes).ok().map(Secret::from)
}
