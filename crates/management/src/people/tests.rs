//! Who is who.

use testkit::db::TestDb;
use testkit::store_test;

use super::{arrive, make_member, person};
use crate::actor::{Right, Role, Share};
use crate::tests::Platform;
use crate::{Actor, Cx, MIGRATIONS, PROVIDER, Refused};

store_test!(a_person_has_one_row_and_an_organisation_of_their_own, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut cx = Cx::system(&p.management);

    let first = arrive(&mut cx, "https://id.example", "ann", "Ann", Some("ann@example.com")).await.unwrap();
    let again = arrive(&mut cx, "https://id.example", "ann", "Ann Example", None).await.unwrap();
    let other = arrive(&mut cx, "https://elsewhere.example", "ann", "Ann", None).await.unwrap();

    assert_eq!(first.id, again.id);
    assert_ne!(first.id, other.id, "a subject is somebody at its issuer only");
    assert_eq!(again.name, "Ann Example");
    assert_eq!(again.memberships.len(), 1);
    assert_eq!(again.memberships[0].role, Role::Owner);
    let actor = Actor::Person(again.clone());
    assert!(actor.may_for(&again.memberships[0].organisation, Share::Own));
    assert!(!actor.may_for(&other.memberships[0].organisation, Share::See) && !actor.may(Right::Read));
});

store_test!(a_role_belongs_to_one_side, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut cx = Cx::system(&p.management);
    let ann = arrive(&mut cx, "https://id.example", "ann", "Ann", None).await.unwrap();
    let home = ann.memberships[0].organisation.clone();

    let wrong = make_member(&mut cx, &home, &ann.id, Role::Administrator).await;
    assert!(matches!(wrong, Err(Refused::Invalid(..))));
    assert!(make_member(&mut cx, PROVIDER, &ann.id, Role::Owner).await.is_err());
    make_member(&mut cx, PROVIDER, &ann.id, Role::Publisher).await.unwrap();

    let ann = person(&mut cx, &ann.id).await.unwrap().unwrap();
    assert!(Actor::Person(ann.clone()).may(Right::Publish) && !Actor::Person(ann).may(Right::Administer));
});
