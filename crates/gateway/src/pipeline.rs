//! THE LIST: what happens to a request, in order. Each step takes what only the one before can make
//! (`Matched → Cleared → Identified → Admitted → Permit`), so that sending on without having decided cannot be written.

use bytes::Bytes;
use http::{HeaderValue, Response};

use crate::deny::Deny;
use crate::edge::{Decision, Exchange, Head};
use crate::snapshot::Live;
use crate::{api, authorize, cors, forward, limits, route, token, trace};

/// Why a request is not sent on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The gateway knows the answer itself.
    Answer(Box<Response<Bytes>>),
    /// With the challenge for the client, where there is one.
    Deny(Deny, Option<HeaderValue>),
}

impl From<Deny> for Stop {
    fn from(deny: Deny) -> Self {
        Self::Deny(deny, None)
    }
}

pub(crate) async fn decide(
    live: Option<&Live>,
    keeps_usage: bool,
    head: &Head<'_>,
    exchange: &mut Exchange,
) -> Decision {
    trace::begin(head, exchange);
    match steps(live, keeps_usage, head, exchange).await {
        Ok(decision) => decision,
        Err(Stop::Answer(response)) => Decision::Answer(*response),
        Err(Stop::Deny(deny, challenge)) => Decision::Answer(deny.answer(exchange, challenge)),
    }
}

async fn steps(
    live: Option<&Live>,
    keeps_usage: bool,
    head: &Head<'_>,
    exchange: &mut Exchange,
) -> Result<Decision, Stop> {
    let live = live.ok_or(Deny::NotConfigured)?;

    // First, since everything else hangs on it; the path is brought into its one form here.
    let matched = route::find(live, head, exchange)?;

    // Before the token: a preflight has none, and a denial must be readable for allowed origins.
    let cleared = cors::clear(matched, head, exchange)?;

    // Whose operation it is: from here on the exchange is a call, also if it is refused.
    api::enter(cleared.route(), keeps_usage, exchange)?;

    // Who asks. It may wait for the token service.
    let identified = token::identify(cleared, head, exchange).await?;
    exchange.steps.identified = exchange.lap();

    // Whether their plan has room. Before rights are judged, which may cost more.
    let admitted = limits::admit(live, identified, exchange)?;
    exchange.steps.admitted = exchange.lap();

    // Whether they may. On every request, from facts; nothing here is remembered. It may wait for a decision
    // point, where one is asked.
    let permit = authorize::authorize(admitted, head, exchange).await?;
    exchange.steps.permitted = exchange.lap();

    Ok(forward::prepare(permit, head, exchange))
}
