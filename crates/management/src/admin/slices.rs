//! What the slices of consumers, plans and usage offer, described.

use http::Method;
use serde_json::{Value, json};

use super::{Needs, Operation};
use crate::actor::{Right, Share};

const READ: Needs = Needs::Right(Right::Read);
const ADMINISTER: Needs = Needs::Right(Right::Administer);
const PUBLISH: Needs = Needs::Right(Right::Publish);
const SEE: Needs = Needs::Share(Share::See);
const DEVELOP: Needs = Needs::Share(Share::Develop);
const OWN: Needs = Needs::Share(Share::Own);

pub(super) fn operations() -> Vec<Operation> {
    [people(), applications(), plans(), subscriptions(), usage(), billing()].into_iter().flatten().collect()
}

fn get(path: &'static str, id: &'static str, tag: &'static str, needs: Needs, summary: &'static str) -> Operation {
    Operation::new(Method::GET, path, id, tag, needs).summary(summary).answer(json!({"type": "object"}))
}

fn send(method: Method, path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Operation {
    Operation::new(method, path, id, tag, needs).answer(json!({"type": "object"}))
}

/// An object with these members, all of them texts; those with a `?` may be left out.
fn texts(names: &[&str]) -> Value {
    let members: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.trim_end_matches('?').to_owned(), json!({"type": "string"}))).collect();
    let required: Vec<&&str> = names.iter().filter(|name| !name.ends_with('?')).collect();
    json!({"type": "object", "additionalProperties": false, "properties": members, "required": required})
}

fn people() -> Vec<Operation> {
    let tag = "organisations";
    let organisation = "/management/v1/organisations/{organisation}";
    let object = || json!({"type": "object"});
    vec![
        get("/management/v1/me", "getMe", tag, Needs::Token, "Who asks, and in which organisations"),
        get("/management/v1/people", "listPeople", tag, READ, "Everybody who has signed in").pages(object()),
        get(
            "/management/v1/organisations",
            "listOrganisations",
            tag,
            Needs::Token,
            "Organisations: one's own, or all for the provider",
        )
        .pages(object()),
        send(Method::POST, "/management/v1/organisations", "createOrganisation", tag, Needs::Token)
            .summary("Founds an organisation")
            .body(texts(&["name", "id?"]))
            .example(json!({"name": "New"}))
            .creates(),
        get(organisation, "getOrganisation", tag, SEE, "An organisation"),
        send(Method::PUT, organisation, "renameOrganisation", tag, OWN)
            .summary("Gives an organisation another name")
            .body(texts(&["name"]))
            .example(json!({"name": "Other"})),
        get("/management/v1/organisations/{organisation}/members", "listMembers", tag, SEE, "Its members")
            .pages(object()),
        send(Method::PUT, "/management/v1/organisations/{organisation}/members/{person}", "setMember", tag, OWN)
            .summary("Gives a person a role in an organisation")
            .body(texts(&["role"]))
            .example(json!({"role": "developer"})),
        send(Method::DELETE, "/management/v1/organisations/{organisation}/members/{person}", "removeMember", tag, OWN)
            .summary("Takes a person out of an organisation"),
        get(
            "/management/v1/organisations/{organisation}/invitations",
            "listInvitations",
            tag,
            OWN,
            "Invitations that are open",
        )
        .pages(object()),
        send(Method::POST, "/management/v1/organisations/{organisation}/invitations", "createInvitation", tag, OWN)
            .summary("Invites somebody; the link is told this once")
            .body(texts(&["role", "note?"]))
            .example(json!({"role": "developer"}))
            .creates(),
        send(
            Method::DELETE,
            "/management/v1/organisations/{organisation}/invitations/{invitation}",
            "withdrawInvitation",
            tag,
            OWN,
        )
        .summary("Takes an invitation back"),
        send(Method::POST, "/management/v1/invitations/accept", "acceptInvitation", tag, Needs::Token)
            .summary("Takes an invitation by its token")
            .body(texts(&["token"]))
            .example(json!({"token": "nonsense"})),
    ]
}

fn plans() -> Vec<Operation> {
    let tag = "plans";
    let spec = || json!({"type": "object", "additionalProperties": false, "required": ["spec"], "properties": {"spec": {"$ref": "#/components/schemas/PlanSpec"}}});
    vec![
        get("/management/v1/plans", "listPlans", tag, READ, "All plans"),
        get("/management/v1/plans/{plan}", "getPlan", tag, READ, "A plan"),
        send(Method::PUT, "/management/v1/plans/{plan}", "putPlan", tag, PUBLISH)
            .summary("Makes or changes a plan; gateways are told at once")
            .body(spec())
            .example(json!({"spec": {"title": "Sample", "apis": ["sample"]}})),
        send(Method::DELETE, "/management/v1/plans/{plan}", "retirePlan", tag, PUBLISH)
            .summary("No new subscriptions to a plan")
            .empty(),
        get("/management/v1/plans/{plan}/versions", "listPlanVersions", tag, READ, "What a plan was, and since when"),
        get(
            "/management/v1/organisations/{organisation}/plans",
            "listOfferedPlans",
            tag,
            SEE,
            "Plans that an organisation may subscribe to",
        ),
    ]
}

fn applications() -> Vec<Operation> {
    let tag = "applications";
    let one = "/management/v1/applications/{application}";
    let of = "/management/v1/organisations/{organisation}/applications";
    let strings = || json!({"type": "array", "items": {"type": "string"}});
    let wanted = json!({"type": "object", "additionalProperties": false, "required": ["name", "kind"], "properties": {
        "name": {"type": "string"}, "kind": {"enum": ["service", "web", "browser", "native"]},
        "redirectUris": strings(), "scopes": strings()}});
    let example = || json!({"name": "New", "kind": "service"});
    let list = |operation: Operation| {
        let states = "`intended`, `registered`, `failed`, `deleting` or `deleted`";
        operation.query("state", states).pages(json!({"type": "object"}))
    };
    vec![
        list(get("/management/v1/applications", "listApplications", tag, READ, "All applications")),
        list(get(of, "listApplicationsOf", tag, SEE, "Applications of an organisation")),
        send(Method::POST, of, "createApplication", tag, DEVELOP)
            .summary("Makes an application, whose client is registered at the identity system")
            .body(wanted.clone())
            .example(example())
            .creates(),
        get(one, "getApplication", tag, SEE, "An application, with the state of its registration"),
        send(Method::PUT, one, "updateApplication", tag, DEVELOP)
            .summary("Gives it another name, other redirect URIs or scopes")
            .body(wanted)
            .example(example()),
        send(Method::POST, "/management/v1/applications/{application}/credentials", "takeCredentials", tag, DEVELOP)
            .summary("Tells a secret that nobody has seen yet, once"),
        send(Method::POST, "/management/v1/applications/{application}/secret", "rotateSecret", tag, DEVELOP)
            .summary("Another secret; the one in use stays good for a while")
            .body(json!({"type": "object", "additionalProperties": false, "properties": {
                "overlap": {"type": "integer", "description": "Seconds, at most 30 days; default 7 days"}}})),
        send(Method::POST, "/management/v1/applications/{application}/retry", "retryApplication", tag, DEVELOP)
            .summary("Tries again what was given up"),
        send(Method::DELETE, one, "deleteApplication", tag, DEVELOP)
            .summary("Deletes its client at the identity system, then the application"),
        send(Method::POST, "/management/v1/reconcile", "reconcileClients", tag, Needs::Right(Right::Administer))
            .summary("Compares applications with the clients of the identity system; puts right what differs, if asked")
            .body(json!({"type": "object", "additionalProperties": false, "properties": {
                "repair": {"type": "boolean", "default": false}}})),
    ]
}

fn subscriptions() -> Vec<Operation> {
    let tag = "subscriptions";
    let one = "/management/v1/subscriptions/{subscription}";
    let list = |operation: Operation| {
        operation
            .query("application", "Of this application only")
            .query("plan", "To this plan only")
            .query("state", "`requested`, `active`, `suspended`, `rejected` or `cancelled`")
            .pages(json!({"type": "object"}))
    };
    let reason = |operation: Operation| operation.body(texts(&["reason"])).example(json!({"reason": "test"}));
    vec![
        list(get("/management/v1/subscriptions", "listSubscriptions", tag, READ, "All subscriptions")),
        list(get(
            "/management/v1/organisations/{organisation}/subscriptions",
            "listSubscriptionsOf",
            tag,
            SEE,
            "Subscriptions of an organisation",
        )),
        send(
            Method::POST,
            "/management/v1/organisations/{organisation}/subscriptions",
            "createSubscription",
            tag,
            DEVELOP,
        )
        .summary("Subscribes an application to a plan; at once, or after the provider's yes, as the plan says")
        .body(texts(&["application", "plan", "note?"]))
        .example(json!({"application": "none", "plan": "free"}))
        .creates(),
        get(one, "getSubscription", tag, SEE, "A subscription"),
        get(
            "/management/v1/subscriptions/{subscription}/quota",
            "getQuota",
            tag,
            SEE,
            "What is used of its quota, and what is left",
        ),
        send(Method::POST, "/management/v1/subscriptions/{subscription}/approve", "approveSubscription", tag, PUBLISH)
            .summary("Says yes; with `plan` only if that plan is the one that is asked for")
            .body(texts(&["note?", "plan?"])),
        reason(
            send(
                Method::POST,
                "/management/v1/subscriptions/{subscription}/reject",
                "rejectSubscription",
                tag,
                PUBLISH,
            )
            .summary("Says no, and why"),
        ),
        reason(
            send(
                Method::POST,
                "/management/v1/subscriptions/{subscription}/suspend",
                "suspendSubscription",
                tag,
                PUBLISH,
            )
            .summary("Gateways refuse its calls until it is resumed"),
        ),
        send(Method::POST, "/management/v1/subscriptions/{subscription}/resume", "resumeSubscription", tag, PUBLISH)
            .summary("Gateways take its calls again"),
        send(Method::POST, "/management/v1/subscriptions/{subscription}/cancel", "cancelSubscription", tag, DEVELOP)
            .summary("Ends it for good")
            .body(texts(&["reason?"])),
        send(Method::POST, "/management/v1/subscriptions/{subscription}/plan", "changePlan", tag, DEVELOP)
            .summary("Goes over to another plan, now or later")
            .body(json!({"type": "object", "additionalProperties": false, "required": ["plan"], "properties": {
                "plan": {"type": "string"}, "from": {"type": "integer"}}}))
            .example(json!({"plan": "other"})),
    ]
}

fn usage() -> Vec<Operation> {
    let tag = "usage";
    vec![
        get("/management/v1/gateways", "listGateways", tag, READ, "Gateways: what they serve, and what they refused"),
        get("/management/v1/usage", "reportUsage", tag, READ, "Calls, counted; members of an organisation name it")
            .query("organisation", "Of this organisation")
            .query("subscription", "Of this subscription")
            .query("client", "Of this client")
            .query("api", "Of this API")
            .query("from", "Milliseconds since the epoch; default: the begin of the month")
            .query("until", "Milliseconds since the epoch")
            .query("step", "`hour`, `day` or `whole`")
            .query("group", "`none`, `api`, `operation`, `client`, `plan`, `subscription` or `organisation`"),
        get("/management/v1/usage/calls", "listCalls", tag, READ, "The last calls; members of an organisation name it")
            .query("organisation", "Of this organisation")
            .query("subscription", "Of this subscription")
            .query("client", "Of this client")
            .query("outcome", "`served`, `refused` or `failed`")
            .pages(json!({"type": "object"})),
        get("/management/v1/usage/calls/{request_id}", "getCall", tag, Needs::Token, "A call by its request id"),
        get("/management/v1/usage/events", "exportEvents", tag, READ, "Calls as CloudEvents")
            .query("cursor", "Where to go on")
            .query("limit", "At most so many")
            .answer(json!({"type": "array", "items": {"type": "object"}})),
        get("/management/v1/usage/push", "listPushes", tag, READ, "How far receivers of calls have them"),
        send(Method::POST, "/management/v1/usage/push", "restartPush", tag, ADMINISTER)
            .summary(
                "Sends calls again, or goes on sending: from behind a place, since a time, or from where it stands",
            )
            .body(json!({"type": "object", "additionalProperties": false, "properties": {
                "after": {"type": "integer", "description": "The `cursor` of an export"},
                "since": {"type": "integer", "description": "Milliseconds since the epoch"},
            }}))
            .example(json!({})),
    ]
}

fn billing() -> Vec<Operation> {
    let tag = "billing";
    let organisation = "/management/v1/organisations/{organisation}/invoices";
    let month = |operation: Operation| operation.body(texts(&["month"])).example(json!({"month": "2025-12"}));
    let object = || json!({"type": "object"});
    vec![
        get("/management/v1/organisations/{organisation}/statement", "getStatement", tag, SEE, "What a month costs")
            .query("month", "Such as `2026-11`; default: this one, so far"),
        get(organisation, "listInvoicesOf", tag, SEE, "Invoices of an organisation"),
        month(
            send(Method::POST, organisation, "issueInvoicesOf", tag, ADMINISTER)
                .summary("Issues the invoices of a month that is over"),
        ),
        get("/management/v1/invoices", "listInvoices", tag, READ, "All invoices").pages(object()),
        month(
            send(Method::POST, "/management/v1/invoices/issue", "issueInvoices", tag, ADMINISTER)
                .summary("Issues the invoices of all organisations"),
        ),
        get(
            "/management/v1/invoices/due",
            "listInvoicesDue",
            tag,
            READ,
            "Whose invoices are due and not issued, and why",
        ),
        get("/management/v1/invoices/{invoice}", "getInvoice", tag, SEE, "An invoice with its lines"),
        get("/management/v1/invoices/{invoice}/csv", "getInvoiceCsv", tag, SEE, "An invoice as CSV"),
        get(
            "/management/v1/invoices/{invoice}/lines/{line}/calls",
            "listLineCalls",
            tag,
            SEE,
            "The calls behind a line",
        )
        .query("format", "`csv`; default: CloudEvents")
        .query("cursor", "Where to go on")
        .query("limit", "At most so many"),
    ]
}
