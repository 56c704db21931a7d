//! Secrets never leave (R27): everything secret of a whole run is searched for in the database and in the
//! log at its loudest.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base::Secret;
use http::StatusCode;
use store::{Config, params};
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::VERIFIER;
use super::platform::Platform;
use crate::register::tests::{application, portal_spec};
use crate::{MIGRATIONS, accounts};

const PASSWORD: &str = "canary password 8c1f";

/// All that the tests of this process log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen() -> Log {
    static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
        subscriber.with_ansi(false).with_writer(move || writer.clone()).init();
        log
    });
    log.clone()
}

/// Goes through every kind of request, good and bad; what is secret in it.
async fn run(p: &Platform) -> Vec<(&'static str, String)> {
    let m = p.market().await;
    let mut cx = p.cx();
    accounts::set_password(&mut cx, &m.alice, Secret::from(PASSWORD)).await.unwrap();
    cx.commit().await.unwrap();
    let (_, code) = p.code("shop", &m.alice, "openid orders_read").await;
    let tokens = p.redeem(&m.shop, &code).await;
    let next = p.refresh(&m.shop, &tokens.text("refresh_token")).await;
    let access = next.text("access_token");
    let inner = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &access)]).await;
    assert_eq!(inner.status, StatusCode::OK);
    p.get("/userinfo", &[("authorization", &format!("Bearer {access}"))]).await;
    p.get(&format!("/userinfo?access_token={access}"), &[]).await;
    p.post_as(&m.shop, "/revoke", &[("token", &access)]).await;
    // Wrong requests have causes, and causes are logged.
    p.redeem(&m.robot, &code).await;
    p.redeem(&m.shop, &code).await;
    p.refresh(&m.robot, &tokens.text("refresh_token")).await;
    p.post("/token", &[("authorization", &format!("Basic {}", m.shop.secret.clone().unwrap()))], &[]).await;
    p.post_as(&m.orders, "/introspect", &[("token", &format!("{access}x"))]).await;
    p.post("/introspect", &[], &[("token", &access), ("client_id", "orders"), ("client_secret", "canary-in-body")])
        .await;

    let swapped = super::actors::Caller { id: "canary-in-the-wrong-place".to_owned(), secret: Some("shop".to_owned()) };
    p.post_as(&swapped, "/token", &[("grant_type", "client_credentials")]).await;
    p.post("/token", &[], &[("client_id", "canary-in-the-wrong-place"), ("grant_type", "refresh_token")]).await;

    // What a registration tells once; with a key its answer is kept, sealed.
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.register_once(&portal.token, "app-1", &application()).await;
    assert_eq!(app.status, StatusCode::CREATED, "{}", app.body);
    let own = app.text("registration_access_token");
    p.manage(http::Method::GET, &app, &own, &serde_json::json!({})).await;
    p.manage(http::Method::GET, &app, &format!("{own}x"), &serde_json::json!({})).await;
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", access.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    p.post_as(&m.robot, "/token", &exchange).await;
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let assertion = key.sign("JWT", &serde_json::json!({"iss": "shop", "sub": "shop"})).unwrap();
    let typed = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    p.post("/token", &[], &[("client_assertion_type", typed), ("client_assertion", &assertion)]).await;

    let private_key = {
        let ring = crate::keys::ring(&p.identity).await.unwrap();
        let jwk = ring.signer(&p.identity, None).unwrap().to_jwk();
        let jwk: serde_json::Value = serde_json::from_str(jwk.expose()).unwrap();
        jwk["d"].as_str().unwrap().to_owned()
    };
    vec![
        ("password", PASSWORD.to_owned()),
        ("code", code),
        ("verifier", VERIFIER.to_owned()),
        ("first access token", tokens.text("access_token")),
        ("first refresh token", tokens.text("refresh_token")),
        ("access token", access),
        ("refresh token", next.text("refresh_token")),
        ("id token", next.text("id_token")),
        ("inner JWT", inner.body),
        ("client secret", m.shop.secret.unwrap()),
        ("another client secret", m.orders.secret.unwrap()),
        ("secret in a body", "canary-in-body".to_owned()),
        ("secret as an id", "canary-in-the-wrong-place".to_owned()),
        ("token of a registrar", portal.token),
        ("secret of a registered client", app.text("client_secret")),
        ("registration access token", own),
        ("assertion", assertion),
        ("private key", private_key),
        ("master key", "a master key of the tests, 32 bytes+".to_owned()),
    ]
}

/// A handle is as good as its body: prefix and checksum anybody can add.
fn essence(secret: &str) -> &str {
    let body = secret.split_once('_').filter(|(prefix, _)| prefix.len() == 3).map_or(secret, |(_, body)| body);
    if body.len() == secret.len() { secret } else { &body[..body.len() - 6] }
}

async fn dump(db: &TestDb) -> String {
    if let Config::Sqlite { path } = &db.config {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let tables = "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables
        WHERE table_schema = current_schema()";
    let mut out = String::new();
    for table in db.db.begin().read(tables, &params![]).await.unwrap() {
        let name = table.text("name").unwrap();
        let sql: &'static str = Box::leak(format!("SELECT CAST(t AS TEXT) AS line FROM {name} t").into_boxed_str());
        for row in db.db.begin().read(sql, &params![]).await.unwrap() {
            out.push_str(row.text("line").unwrap());
            out.push('\n');
        }
    }
    out
}

store_test!(a_dump_of_the_database_and_the_loudest_log_hold_no_secret, MIGRATIONS, |db: TestDb| async move {
    let log = listen();
    let p = Platform::on(db).await;

    let secrets = run(&p).await;

    let dump = dump(&p.db).await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(dump.contains("orders_read") && dump.contains("grant.revoked"), "the dump is whole");
    assert!(log.contains("/introspect") && log.contains("client authentication failed"), "the log is loud");
    for (name, secret) in &secrets {
        assert!(!dump.contains(essence(secret)), "{name} is in the database");
        assert!(!log.contains(essence(secret)), "{name} is in the log");
    }
    let metrics = p.identity.metrics.render();
    assert!(metrics.contains("cardea_identity_http_requests_total"), "{metrics}");
    assert!(secrets.iter().all(|(_, secret)| !metrics.contains(essence(secret))));
});
