//! `/livez` says that the process answers, nothing more; `/readyz` says whether it can do its work.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::Ops;

/// One thing that should be right for a role to do its work.
#[derive(Debug)]
pub struct Check {
    pub name: String,
    pub state: State,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Fine,
    /// Not as it should be; requests are served all the same.
    Degraded,
    Down,
}

pub async fn livez() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// With `?verbose` it names each check.
pub async fn readyz(Shared(ops): Shared<Arc<Ops>>, RawQuery(query): RawQuery) -> Response {
    let checks = ops.roles.checks().await;
    let status = if is_ready(&checks) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let text = if verbose { report(&checks) } else { verdict(&checks).to_owned() };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Down)
}

fn verdict(checks: &[Check]) -> &'static str {
    if is_ready(checks) { "ok\n" } else { "not ready\n" }
}

fn report(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, state, detail } in checks {
        let mark = match state {
            State::Fine => '+',
            State::Degraded => '!',
            State::Down => '-',
        };
        let _never_fails = writeln!(text, "[{mark}] {name}: {detail}");
    }
    text.push_str(verdict(checks));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: State) -> Check {
        Check { name: "gateway: resources".into(), state, detail: "set 1".into() }
    }

    #[test]
    fn what_is_degraded_is_named_and_served() {
        assert_eq!(
            report(&[check(State::Fine), check(State::Degraded)]),
            "[+] gateway: resources: set 1\n[!] gateway: resources: set 1\nok\n"
        );
        assert_eq!(report(&[check(State::Down)]), "[-] gateway: resources: set 1\nnot ready\n");
    }
}
