//! Tests of the management system over its routers, without sockets, on both databases.

#[allow(dead_code, reason = "slices use what they need")]
pub mod house;

use http::{Method, StatusCode};
use testkit::db::TestDb;
use testkit::store_test;

use crate::actor::Right;
use crate::{MIGRATIONS, Refused};

#[allow(unused_imports, reason = "slices use what they need")]
pub use house::{Answer, ISSUER, Platform, URL, config, exchange, person, request, send};

store_test!(nobody_comes_in_without_a_credential, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let lost = send(p.public(), Method::GET, "/nowhere", None, None).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    assert!(matches!(p.nobody().need(Right::Read), Err(Refused::NoRight)));
});
