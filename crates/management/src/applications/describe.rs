//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use super::{Kind, State};
use crate::actor::{Right, Share};
use crate::admin::shape::{about, body, flag, list, moment, named, object, or_null, text, unless_said, whole, word};
use crate::admin::{Needs, Operation};

const DEVELOP: Needs = Needs::Share(Share::Develop);

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "applications";
    let one = "/management/v1/applications/{application}";
    let of = "/management/v1/organisations/{organisation}/applications";
    let see = Needs::Share(Share::See);
    let wanted = || {
        let strings = || list(text());
        body([("name", text()), ("kind", kind()), ("redirectUris?", strings()), ("scopes?", strings())])
    };
    let example = || json!({"name": "New", "kind": "service"});
    let listed = |operation: Operation| {
        operation.query("state", state(), "In this state only; default: all but `deleted`").pages(named("Application"))
    };
    vec![
        listed(
            Operation::get("/management/v1/applications", "listApplications", tag, Needs::Right(Right::Read))
                .summary("All applications"),
        ),
        listed(Operation::get(of, "listApplicationsOf", tag, see).summary("Applications of an organisation")),
        Operation::post(of, "createApplication", tag, DEVELOP)
            .summary("Makes an application, whose client is registered at the identity system")
            .body(wanted())
            .example(example())
            .answer(named("Application"))
            .creates(),
        Operation::get(one, "getApplication", tag, see)
            .summary("An application, with the state of its registration")
            .answer(named("Application")),
        Operation::put(one, "updateApplication", tag, DEVELOP)
            .summary("Gives it another name, other redirect URIs or scopes")
            .body(wanted())
            .example(example())
            .answer(named("Application")),
        Operation::post("/management/v1/applications/{application}/credentials", "takeCredentials", tag, DEVELOP)
            .summary("Tells a secret that nobody has seen yet, once")
            .answer(object([("clientId", text()), ("clientSecret", text())])),
        Operation::post("/management/v1/applications/{application}/secret", "rotateSecret", tag, DEVELOP)
            .summary("Another secret; the one in use stays good for a while")
            .body(body([(
                "overlap?",
                json!({"type": ["integer", "null"], "minimum": 0, "description": "Seconds, at most 30 days; default 7 days"}),
            )]))
            .answer(named("Application")),
        Operation::post("/management/v1/applications/{application}/revoke", "revokeTokens", tag, DEVELOP)
            .summary("Ends the tokens that it holds at the identity system: of one grant, or all; it goes on itself")
            .body(body([(
                "grant?",
                json!({"type": ["string", "null"], "minLength": 1, "maxLength": 200, "description": "Of this grant alone"}),
            )]))
            .answer(object([("revoked", json!({"type": "integer", "minimum": 0}))])),
        Operation::post("/management/v1/applications/{application}/retry", "retryApplication", tag, DEVELOP)
            .summary("Tries again what was given up")
            .answer(named("Application")),
        Operation::delete(one, "deleteApplication", tag, DEVELOP)
            .summary("Deletes its client at the identity system, then the application")
            .answer(object([("id", text()), ("state", state())]))
            .later(),
        Operation::post("/management/v1/reconcile", "reconcileClients", tag, Needs::Right(Right::Administer))
            .summary("Compares applications with the clients of the identity system; puts right what differs, if asked")
            .body(body([("repair?", unless_said(false))]))
            .answer(named("Comparison")),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Application",
            object([
                ("id", text()),
                ("organisation", text()),
                ("name", text()),
                ("kind", kind()),
                ("redirectUris", list(text())),
                ("scopes", list(text())),
                ("state", state()),
                ("settled", about(flag(), "The identity system has all that is wanted")),
                ("clientId", or_null(text())),
                ("newSecret", about(flag(), "There is a secret that has not been shown")),
                ("attempts", whole()),
                ("error", about(or_null(text()), "Why the last attempt failed")),
                ("createdAt", moment()),
                ("createdBy", text()),
                ("changedAt", moment()),
            ]),
        ),
        (
            "Comparison",
            object([
                ("applications", whole()),
                ("clients", about(or_null(whole()), "`null` where the identity system has no list")),
                ("findings", list(named("Orphan"))),
            ]),
        ),
        (
            "Orphan",
            object([
                ("kind", text()),
                ("application", or_null(text())),
                ("client", or_null(text())),
                ("detail", text()),
                ("repaired", flag()),
            ]),
        ),
    ]
}

fn kind() -> Value {
    word(&Kind::ALL.map(Kind::as_str))
}

fn state() -> Value {
    word(&State::ALL.map(State::as_str))
}
