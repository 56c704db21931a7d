//! One request from its head to the head of its answer, whichever version it came in.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::body::{Download, Upload};
use super::call::WorkerCalls;
use super::exchange::{Compose, Composed, Decision, Forward, Means, Pipeline};
use super::finish::Finish;
use super::problem::{Trouble, refuse};
use super::received::{Received, Refusal, Source, strip_connection_fields};
use super::send::{Hop, Outgoing, body_trouble, send};
use super::serve::{Undone, Worker};

/// An answer, and after `101 Switching Protocols` the upstream's side of the tunnel.
pub(super) struct Answer<P: Pipeline> {
    pub(super) response: Response<Download<P>>,
    pub(super) tunnel: Option<hyper::upgrade::OnUpgrade>,
}

/// Asks the pipeline and does what it decides.
pub(super) async fn handle<P: Pipeline>(worker: &Rc<Worker<P>>, received: &Received, source: Source) -> Answer<P> {
    let mut finish = Finish::begin(&worker.pipeline, worker.clock.now());
    let (client, scheme) = worker.trusted.client(received.peer, received.tls, &received.headers);
    let decision = worker.pipeline.decide(&received.head(client, scheme), &mut finish.exchange).await;
    match decision {
        Decision::Answer(response) => own_answer(response, &received.method, finish),
        Decision::Forward(forward) => forward_to_upstream(worker, received, source, *forward, finish).await,
        Decision::Compose(compose) => composed(worker, received, source, compose, finish).await,
    }
}

/// Answers a request that is not well framed.
pub(super) fn refusal<P: Pipeline>(worker: &Worker<P>, refusal: Refusal) -> Answer<P> {
    let mut finish = Finish::begin(&worker.pipeline, worker.clock.now());
    let response = refuse(refusal, &mut finish.exchange);
    own_answer(response, &Method::GET, finish)
}

fn own_answer<P: Pipeline>(mut response: Response<Bytes>, method: &Method, mut finish: Box<Finish<P>>) -> Answer<P> {
    if let Err(instead) = finish.answering(response.status()) {
        response = *instead;
    }
    replace(response, method, finish)
}

fn replace<P: Pipeline>(mut response: Response<Bytes>, method: &Method, mut finish: Box<Finish<P>>) -> Answer<P> {
    finish.outcome.status = response.status();
    strip_connection_fields(response.headers_mut());
    response.headers_mut().remove(CONTENT_LENGTH);
    finish.exchange.dress(response.headers_mut());
    let (parts, bytes) = response.into_parts();
    let bytes = if *method == Method::HEAD { Bytes::new() } else { bytes };
    Answer { response: Response::from_parts(parts, Download::whole(bytes, finish)), tunnel: None }
}

fn troubled<P: Pipeline>(trouble: Trouble, received: &Received, mut finish: Box<Finish<P>>) -> Answer<P> {
    let response = trouble.answer(&mut finish.exchange);
    own_answer(response, &received.method, finish)
}

/// An answer that the gateway makes itself, out of the whole request.
async fn composed<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    received: &Received,
    source: Source,
    compose: Compose,
    mut finish: Box<Finish<P>>,
) -> Answer<P> {
    if received.length.is_some_and(|length| length > compose.max_body_bytes) {
        return troubled(Trouble::BodyTooLarge, received, finish);
    }
    let mut body = Bytes::new();
    if compose.wants_body {
        let upload = Upload::new(source, received.length, compose.max_body_bytes, compose.idle_timeout);
        let read = upload.clone().read().await;
        finish.outcome.request_bytes = upload.received();
        body = match read {
            Ok(body) => body,
            Err(failure) => return troubled(body_trouble(failure).unwrap_or(Trouble::ClientGone), received, finish),
        };
    }
    let gone = CancellationToken::new();
    let means = Means { body, calls: Rc::new(WorkerCalls(Rc::clone(worker))), gone: gone.clone() };
    let working = compose.work.run(means);
    // Known even if nobody is left to be told how many there were.
    let attempts_at_least = u32::from(compose.calls);
    let Composed { response, failed, parts, missing_parts, attempts } = if compose.outlives_client {
        let Some(undone) = Undone::begin(worker) else { return troubled(Trouble::Busy, received, finish) };
        (finish.outcome.attempts, finish.outcome.asked) = (attempts_at_least, compose.calls);
        let task = tokio::task::spawn_local(async move {
            let composed = working.await;
            drop(undone);
            composed
        });
        // The task goes on when this future is dropped, and is told.
        let _told = gone.drop_guard();
        match task.await {
            Ok(composed) => composed,
            Err(_) => return troubled(Trouble::Unsendable, received, finish),
        }
    } else {
        (finish.outcome.attempts, finish.outcome.asked) = (attempts_at_least, compose.calls);
        working.await
    };
    finish.exchange.denied = failed;
    finish.exchange.parts = parts;
    finish.exchange.missing_parts = missing_parts;
    finish.outcome.attempts = attempts;
    own_answer(response, &received.method, finish)
}

async fn forward_to_upstream<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    received: &Received,
    source: Source,
    mut forward: Forward,
    mut finish: Box<Finish<P>>,
) -> Answer<P> {
    let trouble = |trouble: Trouble, finish: Box<Finish<P>>| troubled(trouble, received, finish);
    let Some(place) = forward.upstream.admit() else { return trouble(Trouble::Busy, finish) };
    if received.length.is_some_and(|length| length > forward.max_body_bytes) {
        return trouble(Trouble::BodyTooLarge, finish);
    }
    let upload = Upload::new(source, received.length, forward.max_body_bytes, forward.idle_timeout);
    let outgoing = match Outgoing::new(received, &mut forward, upload) {
        Ok(outgoing) => outgoing,
        Err(failed) => return trouble(failed, finish),
    };
    let hop = Hop { upstream: &forward.upstream, head_timeout: forward.head_timeout, retry_safe: forward.retry_safe };
    let answered = send(worker, hop, &outgoing, &mut finish.outcome).await;
    finish.outcome.request_bytes = outgoing.upload.received();
    let (mut response, lease) = match answered {
        Ok(answered) => answered,
        Err(failed) => return trouble(failed, finish),
    };
    let mut tunnel = None;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !received.websocket {
            return trouble(Trouble::BadAnswer, finish);
        }
        tunnel = Some(hyper::upgrade::on(&mut response));
    }
    if let Err(instead) = finish.answering(response.status()) {
        return replace(*instead, &received.method, finish);
    }
    finish.outcome.status = response.status();
    strip_connection_fields(response.headers_mut());
    // How long the body is, is said by whoever writes it; an upstream's word stands only where there
    // is none to measure.
    if received.method != Method::HEAD && response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    forward.clean(response.headers_mut());
    finish.exchange.dress(response.headers_mut());
    let passage = super::body::Passage { upload: outgoing.upload, lease, place };
    let response = response.map(|incoming| Download::upstream(incoming, forward.idle_timeout, passage, finish));
    Answer { response, tunnel }
}
