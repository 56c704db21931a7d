//! Who arrives, who joins, who may send whom away.

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{
    INVITED_FOR, accept, arrive, found, invite, list_organisations, make_member, members, person, remove, set_role,
    withdraw,
};
use crate::actor::{Actor, Person, Role};
use crate::tests::Platform;
use crate::tests::house::{ISSUER, person as stranger};
use crate::{Cx, MIGRATIONS, PROVIDER, Refused};

async fn arrived(p: &Platform, subject: &str, name: &str) -> Person {
    let mut cx = p.cx(Actor::System);
    let person = arrive(&mut cx, ISSUER, subject, name, Some("a@example.com")).await.unwrap();
    cx.commit().await.unwrap();
    person
}

/// As somebody who is known: with the memberships that they have now.
async fn cx_of(p: &Platform, id: &str) -> Cx {
    let found = person(&mut p.cx(Actor::System), id).await.unwrap().unwrap();
    p.cx(Actor::Person(found))
}

fn own(person: &Person) -> String {
    person.memberships.iter().find(|member| member.role == Role::Owner).unwrap().organisation.clone()
}

store_test!(fifty_first_logins_at_once_make_one_person_and_one_organisation, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let people = join_all((0..50).map(|_| arrived(&p, "dana", "Dana Example"))).await;

    let first = &people[0];
    assert!(people.iter().all(|person| person.id == first.id));
    assert_eq!(first.memberships.len(), 1);
    assert!(own(first).starts_with("dana-example-"), "{}", own(first));
    let all = list_organisations(&mut p.cx(Actor::System), "", 100).await.unwrap();
    assert_eq!(all.len(), 2, "the provider and one more: {all:?}");
});

store_test!(the_same_subject_of_another_issuer_is_somebody_else, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let ours = arrived(&p, "dana", "Dana").await;

    let mut cx = p.cx(Actor::System);
    let theirs = arrive(&mut cx, "https://other.example", "dana", "\u{7}", None).await.unwrap();
    cx.commit().await.unwrap();

    assert_ne!(ours.id, theirs.id);
    assert_eq!(theirs.name, "dana", "a name that shows nothing is not shown");
});

store_test!(an_invitation_is_taken_once_and_by_one, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let dana = arrived(&p, "dana", "Dana").await;
    let others = join_all((0..20).map(|n| {
        let p = &p;
        async move { arrived(p, &format!("guest-{n}"), "Guest").await }
    }))
    .await;
    let mut cx = cx_of(&p, &dana.id).await;
    let invited = invite(&mut cx, &own(&dana), Role::Developer, "for the team").await.unwrap();
    cx.commit().await.unwrap();

    let taken = join_all(others.iter().map(|other| {
        let (p, token) = (&p, &invited.token);
        async move {
            let mut cx = cx_of(p, &other.id).await;
            let taken = accept(&mut cx, token).await.is_ok();
            taken && cx.commit().await.is_ok()
        }
    }))
    .await;

    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    assert_eq!(members(&mut p.cx(Actor::System), &own(&dana)).await.unwrap().len(), 2);
});

store_test!(an_invitation_ends_and_can_be_withdrawn, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (dana, guest) = (arrived(&p, "dana", "Dana").await, arrived(&p, "guest", "Guest").await);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut cx = cx_of(&p, &dana.id).await;
        let invited = invite(&mut cx, &own(&dana), Role::Developer, "").await.unwrap();
        cx.commit().await.unwrap();
        tokens.push(invited);
    }
    let mut cx = cx_of(&p, &dana.id).await;
    withdraw(&mut cx, &own(&dana), &tokens[0].invitation.id).await.unwrap();
    cx.commit().await.unwrap();

    assert!(matches!(accept(&mut cx_of(&p, &guest.id).await, &tokens[0].token).await, Err(Refused::NotFound(_))));
    p.clock.advance(INVITED_FOR);
    assert!(matches!(accept(&mut cx_of(&p, &guest.id).await, &tokens[1].token).await, Err(Refused::NotFound(_))));
    assert!(matches!(accept(&mut p.nobody(), &tokens[1].token).await, Err(Refused::NoRight)));
});

store_test!(the_last_owner_stays_also_when_two_leave_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (dana, eli) = (arrived(&p, "dana", "Dana").await, arrived(&p, "eli", "Eli").await);
    let acme = own(&dana);
    let mut cx = p.cx(Actor::System);
    make_member(&mut cx, &acme, &eli.id, Role::Owner).await.unwrap();
    cx.commit().await.unwrap();

    let left = join_all([&dana.id, &eli.id].map(|id| {
        let (p, acme) = (&p, &acme);
        async move {
            let mut cx = cx_of(p, id).await;
            let left = remove(&mut cx, acme, id).await.is_ok();
            left && cx.commit().await.is_ok()
        }
    }))
    .await;

    assert_eq!(left.iter().filter(|left| **left).count(), 1);
    let still = members(&mut p.cx(Actor::System), &acme).await.unwrap();
    assert_eq!(still.len(), 1);
    let mut cx = cx_of(&p, &still[0].person).await;
    let refused = set_role(&mut cx, &acme, &still[0].person, Role::Developer).await;
    assert!(matches!(refused, Err(Refused::Conflict(_))), "nor does the last one become less: {refused:?}");
});

store_test!(rights_end_at_the_organisation, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (dana, eli) = (arrived(&p, "dana", "Dana").await, arrived(&p, "eli", "Eli").await);
    let acme = own(&dana);
    let developer = || p.cx(stranger("x", &acme, Role::Developer));
    let publisher = || p.cx(stranger("y", PROVIDER, Role::Publisher));

    let mut elsewhere = cx_of(&p, &eli.id).await;
    assert!(matches!(invite(&mut elsewhere, &acme, Role::Owner, "").await, Err(Refused::NotFound(_))));
    assert!(matches!(remove(&mut elsewhere, &acme, &dana.id).await, Err(Refused::NotFound(_))));
    assert!(matches!(invite(&mut developer(), &acme, Role::Owner, "").await, Err(Refused::NoRight)));
    assert!(matches!(set_role(&mut publisher(), &acme, &dana.id, Role::Developer).await, Err(Refused::NoRight)));
    let up = invite(&mut cx_of(&p, &dana.id).await, PROVIDER, Role::Administrator, "").await;
    assert!(matches!(up, Err(Refused::NoRight)), "an owner of one organisation makes no administrators: {up:?}");
    let odd = make_member(&mut p.cx(Actor::System), &acme, &eli.id, Role::Administrator).await;
    assert!(matches!(odd, Err(Refused::Invalid(..))), "a provider's role exists in the provider only: {odd:?}");
    let named = found(&mut cx_of(&p, &eli.id).await, "Acme", Some("acme")).await;
    assert!(matches!(named, Err(Refused::NoRight)), "plans name organisations: {named:?}");
});

store_test!(the_operator_makes_organisations_and_members_over_http, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let dana = arrived(&p, "dana", "Dana").await;
    let path = "/management/v1/organisations";

    let made = p.operate(Method::POST, path, Some(&json!({"name": "Acme", "id": "acme"}))).await;
    let twice = p.operate(Method::POST, path, Some(&json!({"name": "Acme", "id": "acme"}))).await;
    let wrong = p.operate(Method::POST, path, Some(&json!({"name": "Acme", "id": "ACME!"}))).await;
    assert_eq!((made.status, twice.status), (StatusCode::CREATED, StatusCode::CONFLICT), "{}", twice.text);
    assert_eq!((wrong.status, &wrong.body["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/id")));
    let invited = p.operate(Method::POST, &format!("{path}/acme/invitations"), Some(&json!({"role": "owner"}))).await;
    let mut cx = cx_of(&p, &dana.id).await;
    accept(&mut cx, invited.body["token"].as_str().unwrap()).await.unwrap();
    cx.commit().await.unwrap();

    let shown = p.operate(Method::GET, &format!("{path}/acme/members"), None).await;
    assert_eq!(shown.body["items"][0]["role"], "owner", "{}", shown.text);
    let all = p.operate(Method::GET, &format!("{path}?limit=1"), None).await;
    let rest = p.operate(Method::GET, &format!("{path}?cursor={}", all.body["next"].as_str().unwrap()), None).await;
    assert_eq!(all.body["items"].as_array().unwrap().len() + rest.body["items"].as_array().unwrap().len(), 3);
    let me = p.operate(Method::GET, "/management/v1/me", None).await;
    assert_eq!(me.body["actor"], "operator:root");
});

store_test!(who_is_sent_away_has_no_invitation_left, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let (ann, bob) = (arrived(&p, "ann", "Ann").await, arrived(&p, "bob", "Bob").await);
    let organisation = own(&ann);
    let mut cx = cx_of(&p, &ann.id).await;
    make_member(&mut cx, &organisation, &bob.id, Role::Owner).await.unwrap();
    cx.commit().await.unwrap();
    for becomes in [Some(Role::Developer), None] {
        let mut cx = cx_of(&p, &ann.id).await;
        make_member(&mut cx, &organisation, &bob.id, Role::Owner).await.unwrap();
        cx.commit().await.unwrap();
        let mut cx = cx_of(&p, &bob.id).await;
        let in_the_drawer = invite(&mut cx, &organisation, Role::Owner, "").await.unwrap();
        cx.commit().await.unwrap();

        let mut cx = cx_of(&p, &ann.id).await;
        match becomes {
            Some(role) => set_role(&mut cx, &organisation, &bob.id, role).await.unwrap(),
            None => remove(&mut cx, &organisation, &bob.id).await.unwrap(),
        }
        cx.commit().await.unwrap();

        let eve = arrived(&p, "eve", "Eve").await;
        let taken = accept(&mut cx_of(&p, &eve.id).await, &in_the_drawer.token).await;
        assert!(matches!(taken, Err(Refused::NotFound(_))), "{becomes:?}: {taken:?}");
    }
});
