//! Applications become clients by Dynamic Client Registration, also when the identity system is killed meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::time::Stopwatch;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};
use support::{Server, body, call, err, free_ports, out, run, write};

const ORGANISATIONS: usize = 4;
const EACH: usize = 50;

struct Apart {
    folder: tempfile::TempDir,
    port: u16,
}

impl Apart {
    fn new() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_ports());
        let at = |name: &str| folder.path().join(name);
        for name in ["admin.token", "identity.key", "management.key"] {
            write(&at(name), &base::random::text::<32>());
        }
        write(
            &at("identity.yaml"),
            &format!(
                "data: ./identity\nidentity:\n  issuer: http://localhost:{port}\n  listen: 127.0.0.1:{port}\n  \
                 masterKey: file:identity.key\nops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        write(
            &at("management.yaml"),
            &format!(
                "data: ./management\nmanagement:\n  url: http://localhost:{0}\n  listen: 127.0.0.1:{0}\n  \
                 masterKey: file:management.key\n  issuer: http://localhost:{port}\n  clientId: portal\n  \
                 clientSecret: file:portal.secret\n  gatewayUrl: http://localhost:9\n\
                 ops: {{ listen: '127.0.0.1:{1}', adminToken: 'file:admin.token' }}\n",
                port + 2,
                port + 3
            ),
        );
        Self { folder, port }
    }

    fn serve(&self, part: &str) -> Server {
        let config = self.folder.path().join(format!("{part}.yaml"));
        Server::start(&["serve", "--json", "--config", config.to_str().unwrap()])
    }

    fn identity_knows_the_portal(&self) {
        let file = self.folder.path().join("portal.yaml");
        write(
            &file,
            "kind: Client\nname: portal\nspec: { grantTypes: [client_credentials], registrar: true, \
             registration: { scopes: ['*'] } }\n",
        );
        let ops = format!("http://127.0.0.1:{}", self.port + 1);
        let token = format!("file:{}", self.folder.path().join("admin.token").display());
        for arguments in [&["apply", "-f", file.to_str().unwrap()][..], &["client", "secret", "add", "portal"]] {
            let mut all = arguments.to_vec();
            all.extend(["--server", &ops, "--admin-token", &token]);
            let output = run(&all, None);
            assert!(output.status.success(), "{arguments:?}: {}", err(&output));
            if arguments[0] == "client" {
                write(&self.folder.path().join("portal.secret"), out(&output).trim());
            }
        }
    }

    async fn manage(&self, method: Method, path: &str, sent: Option<&Value>) -> (u16, Value) {
        let token = std::fs::read_to_string(self.folder.path().join("admin.token")).unwrap();
        let url = format!("http://127.0.0.1:{}/management/v1{path}", self.port + 3);
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(sent.map_or_else(Bytes::new, |sent| Bytes::from(sent.to_string())))
            .unwrap();
        let answer = call(request).await;
        (answer.status().as_u16(), body(&answer))
    }

    async fn applications(&self) -> Vec<Value> {
        let (status, answer) = self.manage(Method::GET, "/applications?limit=500", None).await;
        assert_eq!(status, 200, "{answer}");
        answer["items"].as_array().unwrap().clone()
    }
}

/// 200 registrations, and identity is killed twice: afterwards pointers and clients match one to one.
#[tokio::test(flavor = "multi_thread")]
async fn identity_is_killed_during_200_registrations() {
    let apart = Arc::new(Apart::new());
    let identity = apart.serve("identity");
    apart.identity_knows_the_portal();
    let _management = apart.serve("management");
    for number in 0..ORGANISATIONS {
        let new = json!({"name": "Org", "id": format!("org-{number}")});
        assert_eq!(apart.manage(Method::POST, "/organisations", Some(&new)).await.0, 201);
    }

    let made = Arc::new(AtomicUsize::new(0));
    let developers = (0..ORGANISATIONS * 2).map(|developer| {
        let (apart, made) = (apart.clone(), made.clone());
        tokio::spawn(async move {
            let path = format!("/organisations/org-{}/applications", developer % ORGANISATIONS);
            for number in 0..EACH / 2 {
                let new = json!({"name": format!("app {developer}.{number}"), "kind": "service"});
                let (status, answer) = apart.manage(Method::POST, &path, Some(&new)).await;
                assert_eq!(status, 201, "what was meant is taken, whatever identity does: {answer}");
                made.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    let developers: Vec<_> = developers.collect();
    let mut identity = Some(identity);
    for mark in [40, 110] {
        while made.load(Ordering::SeqCst) < mark {
            tokio::task::yield_now().await;
        }
        identity.take().unwrap().kill();
        identity = Some(apart.serve("identity"));
    }
    for ended in join_all(developers).await {
        ended.unwrap();
    }

    let waiting = Stopwatch::start();
    let all = loop {
        let all = apart.applications().await;
        if all.iter().all(|one| one["state"] == "registered") {
            break all;
        }
        assert!(waiting.elapsed() < Duration::from_secs(60), "{all:?}");
        tokio::task::yield_now().await;
    };
    let clients: BTreeSet<&str> = all.iter().map(|one| one["clientId"].as_str().unwrap()).collect();
    assert_eq!((all.len(), clients.len()), (ORGANISATIONS * EACH, ORGANISATIONS * EACH));
    let (status, report) = apart.manage(Method::POST, "/reconcile", Some(&json!({}))).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!((&report["applications"], &report["clients"]), (&json!(200), &json!(200)), "{report}");
    assert_eq!(report["findings"], json!([]), "no pointer without a client, no client without a pointer");
}
