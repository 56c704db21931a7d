//! What the provider's people see, over the router.

use ::http::StatusCode;
use testkit::db::TestDb;
use testkit::{Browser, store_test};

use crate::MIGRATIONS;
use crate::tests::Platform;
use crate::tests::house::URL;

store_test!(the_console_asks_who_comes, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = Browser::new(p.public(), URL);

    let page = browser.get_once("/console").await;

    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, Some("/login?return_to=%2Fconsole")));
});
