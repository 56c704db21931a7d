//! Step 3: whose operation a route is: what log, metrics and usage record call it, and whether the API still lives.

use catalog::{Api, Lifecycle};
use http::{HeaderName, HeaderValue};

use crate::deny::Deny;
use crate::edge::{Exchange, imf_fixdate};
use crate::pipeline::Stop;
use crate::snapshot::LiveRoute;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// `Deprecation` (RFC 9745 §2: a date of RFC 9651) and `Sunset` (RFC 8594 §3: an HTTP date), made once.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    retired: bool,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Farewell {
    pub fn of(api: Option<&Api>) -> Self {
        let Some(api) = api.filter(|api| matches!(api.spec.lifecycle, Lifecycle::Deprecated | Lifecycle::Retired))
        else {
            return Self::default();
        };
        let deprecation = api.spec.deprecated_at.map(|at| (DEPRECATION, format!("@{}", at.0.seconds())));
        let sunset = api.spec.sunset_at.map(|at| (SUNSET, imf_fixdate(at.0.seconds())));
        let field = |(name, text): (HeaderName, String)| Some((name, HeaderValue::try_from(text).ok()?));
        Self {
            retired: api.spec.lifecycle == Lifecycle::Retired,
            fields: [deprecation, sunset].into_iter().flatten().filter_map(field).collect(),
        }
    }
}

/// Before the token: nobody need show one to learn that there is nothing any more.
/// And before a service works for what could not be recorded.
pub(crate) fn enter(route: &LiveRoute, keeps_usage: bool, exchange: &mut Exchange) -> Result<(), Stop> {
    let settings = route.settings();
    let Some(api) = &settings.api else { return Ok(()) };
    exchange.api = Some(api.name.clone());
    exchange.operation = Some(settings.operation.clone());
    let farewell = route.farewell();
    exchange.answer_headers.extend(farewell.fields.iter().cloned());
    if farewell.retired {
        return Err(Deny::ApiRetired.into());
    }
    if keeps_usage { Ok(()) } else { Err(Deny::UsageUnavailable.into()) }
}
