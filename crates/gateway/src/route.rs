//! Step 1: which route is it?

use catalog::{CanonicalPath, Found};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::deny::Deny;
use crate::edge::{Exchange, Head};
use crate::pipeline::Stop;
use crate::snapshot::{Live, LiveRoute};
use crate::{cors, wellknown};

/// A request whose route is known.
#[derive(Debug)]
pub(crate) struct Matched<'a> {
    route: &'a LiveRoute,
    path: CanonicalPath<'a>,
}

impl<'a> Matched<'a> {
    pub fn route(&self) -> &'a LiveRoute {
        self.route
    }

    pub fn into_parts(self) -> (&'a LiveRoute, CanonicalPath<'a>) {
        (self.route, self.path)
    }
}

pub(crate) fn find<'a>(live: &'a Live, head: &Head<'a>, exchange: &mut Exchange) -> Result<Matched<'a>, Stop> {
    if *head.method == Method::OPTIONS && head.path == "*" {
        // RFC 9110 §9.3.7: about the server itself, which has nothing to say.
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Err(Stop::Answer(Box::new(response)));
    }
    let path = CanonicalPath::new(head.path).map_err(|_| Deny::BadPath)?;
    if let Some(answer) = wellknown::answer(live, head, &path) {
        return Err(Stop::Answer(Box::new(answer)));
    }
    // A preflight asks about another method; if that method's route has `cors`, it is answered there.
    if let Some(method) = cors::preflight(head)
        && let Found::Route(route) = live.find(method, head.authority, &path)
        && let Some(route) = live.route(route).filter(|route| route.cors().is_some())
    {
        return Ok(matched(route, path, exchange));
    }
    let route = match live.find(head.method.as_str(), head.authority, &path) {
        Found::Route(route) => route,
        Found::MethodNotAllowed(allow) => {
            let allow = HeaderValue::from_str(&allow.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""));
            return Err(Deny::MethodNotAllowed(allow).into());
        }
        Found::Nothing => return Err(Deny::NoRoute.into()),
    };
    let route = live.route(route).ok_or(Deny::NoRoute)?;
    Ok(matched(route, path, exchange))
}

fn matched<'a>(route: &'a LiveRoute, path: CanonicalPath<'a>, exchange: &mut Exchange) -> Matched<'a> {
    exchange.route = Some(route.name().clone());
    exchange.service = Some(route.realm().clone());
    Matched { route, path }
}
