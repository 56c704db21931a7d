//! The management system as a role of a process: beside the others, and alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use support::{Server, body, err, free_ports, get, run, write};

struct Alone {
    folder: tempfile::TempDir,
    port: u16,
}

impl Alone {
    fn new() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_ports());
        let at = |name: &str| folder.path().join(name);
        for name in ["admin.token", "management.key", "portal.secret", "edge-1.token"] {
            write(&at(name), &base::random::text::<32>());
        }
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\nroles: [management]\nmanagement:\n  url: http://localhost:{port}\n  \
                 listen: 127.0.0.1:{port}\n  masterKey: file:management.key\n  issuer: http://localhost:9\n  \
                 clientId: portal\n  clientSecret: file:portal.secret\n  gatewayUrl: http://localhost:9\n  \
                 gateways: [{{ name: edge-1, token: 'file:edge-1.token' }}]\n\
                 ops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        Self { folder, port }
    }

    fn serve(&self) -> Server {
        Server::start(&["serve", "--json", "--config", self.folder.path().join("cardea.yaml").to_str().unwrap()])
    }

    fn ops(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 1)
    }
}

/// It starts and serves while identity is away: what needs identity waits, the rest goes on.
#[tokio::test(flavor = "multi_thread")]
async fn it_starts_alone_and_ends_in_good_order() {
    let alone = Alone::new();
    let server = alone.serve();
    let ops = alone.ops();

    let ready = get(&format!("{ops}/readyz?verbose"), None).await;
    let text = String::from_utf8(ready.body().to_vec()).unwrap();
    assert_eq!(ready.status(), 200);
    assert!(text.contains("[+] management: database: answers"), "{text}");
    assert_eq!(server.ready["roles"], serde_json::json!(["management"]));

    let lost = get(&format!("http://127.0.0.1:{}/nowhere", alone.port), None).await;
    assert_eq!(
        (lost.status().as_u16(), body(&lost)["type"].as_str().unwrap()),
        (404, "https://cardea.dev/problems/not_found")
    );
    let figures = get(&format!("{ops}/metrics"), None).await;
    let figures = String::from_utf8(figures.body().to_vec()).unwrap();
    assert!(figures.contains("management_requests_total{route=\"none\",status=\"404\"} 1"), "{figures}");
    assert_eq!(figures.matches("# EOF").count(), 1);

    assert_eq!(server.terminate(), Some(0));
}

/// The operator's interface stands behind the administration token, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn the_operators_interface_needs_the_operators_token() {
    let alone = Alone::new();
    let _server = alone.serve();
    let token = std::fs::read_to_string(alone.folder.path().join("admin.token")).unwrap();
    let path = "/management/v1/nothing-of-that-name";

    let at_ops = format!("{}{path}", alone.ops());
    assert_eq!(get(&at_ops, None).await.status(), 401);
    assert_eq!(get(&at_ops, Some("guessed")).await.status(), 401);
    assert_eq!(get(&at_ops, Some(&token)).await.status(), 404);
    assert_eq!(get(&format!("http://127.0.0.1:{}{path}", alone.port), Some(&token)).await.status(), 404);
}

/// A token that can be guessed would open the ledger.
#[test]
fn a_gateways_token_that_is_short_does_not_start() {
    let alone = Alone::new();
    write(&alone.folder.path().join("edge-1.token"), "short");

    let config = alone.folder.path().join("cardea.yaml");
    let ended = run(&["serve", "--config", config.to_str().unwrap()], None);

    assert_eq!(ended.status.code(), Some(2), "{}", err(&ended));
    assert!(err(&ended).contains("edge-1"), "{}", err(&ended));
}

/// Its database is made by `migrate` too, and `doctor` looks at it.
#[test]
fn migrate_makes_its_database_and_doctor_finds_it() {
    let alone = Alone::new();
    let config = alone.folder.path().join("cardea.yaml");

    let migrated = run(&["migrate", "--config", config.to_str().unwrap()], None);
    let examined = run(&["doctor", "--config", config.to_str().unwrap()], None);

    assert!(migrated.status.success(), "{}", err(&migrated));
    assert!(support::out(&migrated).starts_with("management: schema is at migration "), "{}", support::out(&migrated));
    assert!(alone.folder.path().join("data/management.db").exists());
    assert!(support::out(&examined).contains("`management.url` http://localhost"), "{}", support::out(&examined));
}
