//! What developers see, over the router.

use ::http::StatusCode;
use testkit::db::TestDb;
use testkit::{Browser, store_test};

use crate::MIGRATIONS;
use crate::tests::Platform;
use crate::tests::house::URL;

store_test!(the_first_page_is_for_everybody, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = Browser::new(p.public(), URL);

    let page = browser.get("/").await;

    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.body.contains("Sign in"));
});
