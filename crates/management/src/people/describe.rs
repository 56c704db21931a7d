//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::actor::{Right, Role, Share};
use crate::admin::shape::{body, list, moment, named, object, or_null, text, word};
use crate::admin::{Needs, Operation};

const READ: Needs = Needs::Right(Right::Read);
const SEE: Needs = Needs::Share(Share::See);
const OWN: Needs = Needs::Share(Share::Own);

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "organisations";
    let organisation = "/management/v1/organisations/{organisation}";
    let member = "/management/v1/organisations/{organisation}/members/{person}";
    let invitations = "/management/v1/organisations/{organisation}/invitations";
    vec![
        Operation::get("/management/v1/me", "getMe", tag, Needs::Token)
            .summary("Who asks, and in which organisations")
            .answer(named("Me")),
        Operation::get("/management/v1/people", "listPeople", tag, READ)
            .summary("Everybody who has signed in")
            .pages(named("Person")),
        Operation::get("/management/v1/organisations", "listOrganisations", tag, Needs::Token)
            .summary("Organisations: one's own, or all for the provider")
            .pages(named("Organisation")),
        Operation::post("/management/v1/organisations", "createOrganisation", tag, Needs::Token)
            .summary("Founds an organisation")
            .body(body([("name", text()), ("id?", or_null(text()))]))
            .example(json!({"name": "New"}))
            .answer(named("Organisation"))
            .creates(),
        Operation::get(organisation, "getOrganisation", tag, SEE)
            .summary("An organisation")
            .answer(named("Organisation")),
        Operation::put(organisation, "renameOrganisation", tag, OWN)
            .summary("Gives an organisation another name")
            .body(body([("name", text())]))
            .example(json!({"name": "Other"}))
            .answer(named("Organisation")),
        Operation::get("/management/v1/organisations/{organisation}/members", "listMembers", tag, SEE)
            .summary("Its members, those who have been here longest first")
            .pages(named("Member")),
        Operation::put(member, "setMember", tag, OWN)
            .summary("Gives a member another role")
            .body(body([("role", role())]))
            .example(json!({"role": "developer"}))
            .answer(object([("person", text()), ("role", role())])),
        Operation::delete(member, "removeMember", tag, OWN)
            .summary("Takes a person out of an organisation")
            .answer(named("Done")),
        Operation::get(invitations, "listInvitations", tag, OWN)
            .summary("Invitations that are open, the newest first")
            .pages(named("Invitation")),
        Operation::post(invitations, "createInvitation", tag, OWN)
            .summary("Invites somebody; the link is told this once")
            .body(body([("role", role()), ("note?", text())]))
            .example(json!({"role": "developer"}))
            .answer(named("NewInvitation"))
            .creates(),
        Operation::delete(
            "/management/v1/organisations/{organisation}/invitations/{invitation}",
            "withdrawInvitation",
            tag,
            OWN,
        )
        .summary("Takes an invitation back")
        .answer(named("Done")),
        Operation::post("/management/v1/invitations/accept", "acceptInvitation", tag, Needs::Token)
            .summary("Takes an invitation by its token")
            .body(body([("token", text())]))
            .example(json!({"token": "nonsense"}))
            .answer(named("Membership")),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    let invitation = || {
        [
            ("id", text()),
            ("organisation", text()),
            ("role", role()),
            ("note", text()),
            ("invitedBy", text()),
            ("createdAt", moment()),
            ("expiresAt", moment()),
        ]
    };
    let [id, organisation, its_role, note, by, created, expires] = invitation();
    vec![
        ("Membership", object([("organisation", text()), ("role", role())])),
        (
            "Me",
            object([
                ("actor", text()),
                ("id?", text()),
                ("name?", text()),
                ("email?", or_null(text())),
                ("memberships", list(named("Membership"))),
            ]),
        ),
        (
            "Person",
            object([
                ("id", text()),
                ("name", text()),
                ("email", or_null(text())),
                ("createdAt", moment()),
                ("seenAt", moment()),
            ]),
        ),
        ("Organisation", object([("id", text()), ("name", text()), ("createdAt", moment())])),
        (
            "Member",
            object([
                ("person", text()),
                ("name", text()),
                ("email", or_null(text())),
                ("role", role()),
                ("since", moment()),
                ("seenAt", moment()),
            ]),
        ),
        ("Invitation", object(invitation())),
        (
            "NewInvitation",
            object([
                id,
                organisation,
                its_role,
                note,
                by,
                created,
                expires,
                ("token", text()),
                ("url", json!({"type": "string", "format": "uri"})),
            ]),
        ),
    ]
}

fn role() -> Value {
    word(&Role::ALL.map(Role::as_str))
}
