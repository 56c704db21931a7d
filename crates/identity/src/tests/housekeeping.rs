use http::StatusCode;
use testkit::db::TestDb;
use testkit::store_test;

use super::platform::Platform;
use crate::{MIGRATIONS, housekeeping};

const DAY: u64 = 24 * 3600;

async fn count(p: &Platform, sql: &'static str) -> i64 {
    p.identity.db.begin().read_one(sql, &[]).await.unwrap().unwrap().int("n").unwrap()
}

store_test!(what_has_expired_goes_and_the_rest_stays, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let (_, unused) = p.code("shop", &m.alice, "orders_read").await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;
    p.post_as(&m.shop, "/revoke", &[("token", &tokens.text("access_token"))]).await;
    housekeeping::sweep(&p.identity).await.unwrap();
    assert_eq!(count(&p, "SELECT count(*) AS n FROM authorization_codes").await, 2);
    assert_eq!(count(&p, "SELECT count(*) AS n FROM revoked_tokens").await, 1);

    p.advance(DAY + 121);
    let gone = housekeeping::sweep(&p.identity).await.unwrap();

    // Both codes, the grant that was never taken up, and the revoked token, which has expired.
    assert_eq!(gone, 4);
    assert_eq!(count(&p, "SELECT count(*) AS n FROM authorization_codes").await, 0);
    assert_eq!(count(&p, "SELECT count(*) AS n FROM revoked_tokens").await, 0);
    assert_eq!(count(&p, "SELECT count(*) AS n FROM events").await, 1);
    assert_eq!(p.refresh(&m.shop, &tokens.text("refresh_token")).await.status, StatusCode::OK);
    assert_eq!(p.redeem(&m.shop, &unused).await.error(), (400, "invalid_grant".to_owned()));

    p.advance(DAY);
    housekeeping::sweep(&p.identity).await.unwrap();
    assert_eq!(count(&p, "SELECT count(*) AS n FROM events").await, 0);
});

store_test!(a_large_heap_leaves_in_batches, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut tx = p.identity.db.begin();
    for n in 0..1_200 {
        let sql = "INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, 1)";
        tx.execute(sql, &store::params![format!("jti-{n}")]).await.unwrap();
    }
    tx.commit().await.unwrap();

    assert_eq!(housekeeping::sweep(&p.identity).await.unwrap(), 1_200);
});
