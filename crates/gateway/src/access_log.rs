//! One line per request. No token, no query, no header.

use crate::edge::{Exchange, Outcome};

pub(crate) fn write(exchange: &Exchange, outcome: &Outcome) {
    let Some(request) = &exchange.request else { return };
    tracing::info!(
        target: "cardea::access",
        { http.request.method = request.method.as_str(),
        url.scheme = request.scheme.as_str(),
        url.path = request.path.as_str(),
        server.address = request.authority.as_str(),
        client.address = %request.client,
        network.protocol.version = ?request.version,
        http.response.status_code = outcome.status.as_u16(),
        http.request.body.size = outcome.request_bytes,
        http.response.body.size = outcome.response_bytes,
        http.route = exchange.route.as_deref(),
        service.name = exchange.service.as_deref(),
        api.name = exchange.api.as_deref(),
        subscription.id = exchange.subscription.as_deref(),
        plan.name = exchange.plan.as_deref(),
        client.id = exchange.client_id.as_deref(),
        user.id = exchange.subject.as_deref(),
        denied = exchange.denied,
        shadowed = exchange.shadowed,
        policy.verdict = exchange.policy.as_ref().map(|judged| judged.verdict),
        policy.ids = exchange.policy.as_ref().map(|judged| judged.ids()),
        policy.version = exchange.policy.as_ref().map(|judged| judged.version),
        parts = exchange.parts.as_ref().and_then(|parts| parts.to_str().ok()),
        token.lookup = exchange.token_cache,
        upstream.endpoint = outcome.endpoint.as_deref(),
        upstream.attempts = outcome.attempts,
        broken_off = outcome.broken_off,
        request.id = exchange.request_id.as_str(),
        trace.parent = exchange.traceparent.as_deref(),
        duration_us = u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX) },
        "request"
    );
}
