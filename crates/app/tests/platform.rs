//! The platform walk on the real binary: a token comes in, a JWT goes on, a revocation shuts the door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use serde_json::{Value, json};
use support::{Dev, Server, body, err, free_ports, get, out, run, until_status, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_sample_until_it_is_revoked() {
    let dev = Dev::start();
    let api = dev.text("/sample/api");
    let token = dev.token();

    let answer = get(&api, Some(&token)).await;
    dev.ok(&["token", "revoke", &token]);
    until_status(&api, &token, 401).await;

    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    let seen = body(&answer);
    let received = &seen["upstream_received"];
    assert_eq!(received["header"]["typ"], "at+jwt");
    assert_eq!(received["claims"]["aud"], "https://echo.internal");
    assert_eq!(received["claims"]["client_id"], "hello-app");
    assert_eq!(received["claims"]["account_nr"], "4711-0815");
    let text = seen.to_string();
    assert!(!text.contains(&token) && !text.contains("eyJ"), "no token is shown: {text}");
    assert_eq!(get(&api, None).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_kill_9() {
    let dev = Dev::start();
    let (kept, revoked) = (dev.token(), dev.token());
    let api = dev.text("/sample/api");
    let before = dev.server.ready.clone();
    dev.ok(&["client", "create", "shop", "--grant", "client_credentials"]);
    dev.ok(&["token", "revoke", &revoked]);

    let dev = dev.killed_and_started_again();

    assert_eq!(get(&api, Some(&kept)).await.status(), 200);
    assert_eq!(get(&api, Some(&revoked)).await.status(), 401);
    assert_eq!(dev.json(&["client", "show", "shop"])["name"], "shop");
    assert_eq!(dev.server.ready, before, "the same secrets as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_changes_nothing_the_second_time() {
    let dev = Dev::start();
    let file = dev.data.join("more.yaml");
    write(&dev.data.join("ada.password"), "correct horse battery");
    write(
        &file,
        r#"
kind: ResourceServer
name: orders
spec: { audience: "https://orders.internal" }
---
kind: Scope
name: orders_read
spec: { audience: "https://orders.internal", description: See your orders }
---
kind: Client
name: shop
spec: { grantTypes: [client_credentials], scopes: [orders_read] }
---
kind: User
name: ada
spec: { name: Ada, password: "file:ada.password" }
---
kind: Service
name: orders
spec: { upstream: echo, audience: "https://orders.internal" }
---
kind: Route
name: orders
spec: { match: { path: /orders }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
"#,
    );
    let file = file.to_str().unwrap();

    let difference = dev.cardea(&["diff", "-f", file]);
    let first = dev.json(&["apply", "-f", file]);
    let second = dev.json(&["apply", "-f", file]);
    let no_difference = dev.cardea(&["diff", "-f", file]);

    assert_eq!(difference.status.code(), Some(1), "{}", err(&difference));
    assert_eq!(first["added"], 6, "{first}");
    assert_eq!(second["changes"], json!([]), "{second}");
    assert_eq!(no_difference.status.code(), Some(0), "{}{}", out(&no_difference), err(&no_difference));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_is_applied() {
    let dev = Dev::start();
    let file = dev.data.join("all.yaml");
    write(&file, &dev.ok(&["export"]));

    let answer = dev.json(&["apply", "-f", file.to_str().unwrap(), "--prune", "--yes"]);

    assert_eq!(answer["changes"], json!([]), "{answer}");
    assert!(dev.ok(&["export"]).contains("kind: Route"));
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_is_listed_and_needs_a_yes() {
    let dev = Dev::start();
    let file = dev.data.join("clients.yaml");
    write(
        &file,
        "kind: Client\nname: gateway\nspec: { introspect: ['https://echo.internal'], events: true, displayName: The gateway }\n",
    );
    let file = file.to_str().unwrap();

    let refused = dev.cardea(&["apply", "-f", file, "--prune"]);
    let still = dev.json(&["client", "show", "hello-app"]);
    let done = dev.json(&["apply", "-f", file, "--prune", "--yes"]);

    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("Client hello-app"), "{}", err(&refused));
    assert_eq!(still["name"], "hello-app");
    assert_eq!(done["removed"], 1, "{done}");
    assert_eq!(dev.cardea(&["client", "show", "hello-app"]).status.code(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_one_fault_changes_nothing() {
    let dev = Dev::start();
    let before = dev.ok(&["export"]);
    let file = dev.data.join("bad.yaml");
    write(
        &file,
        "kind: Client\nname: fine\nspec: { grantTypes: [client_credentials] }\n---\nkind: Client\nname: bad\nspec: { grantTypes: [authorization_code] }\n",
    );

    let refused = dev.cardea(&["apply", "-f", file.to_str().unwrap()]);

    assert_eq!(refused.status.code(), Some(5), "{}", err(&refused));
    assert!(err(&refused).contains("bad.yaml:7:1: /spec/redirectUris"), "{}", err(&refused));
    assert_eq!(dev.ok(&["export"]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_explained_with_its_file_and_line() {
    let dev = Dev::start();

    let answer = dev.ok(&["explain", "GET", "/echo/hi"]);
    let nothing = dev.cardea(&["explain", "GET", "/nowhere"]);

    assert!(answer.contains("echo.yaml:"), "{answer}");
    assert!(answer.contains("echo.read"), "{answer}");
    assert_eq!(nothing.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_administration_route_wants_the_token() {
    let dev = Dev::start();
    let ops = dev.text("/ops");
    let paths = [
        "/admin/v1",
        "/admin/v1/clients",
        "/admin/v1/users",
        "/admin/v1/export",
        "/admin/v1/keys",
        "/admin/v1/audit",
        "/admin/v1/gateway/resources",
        "/admin/v1/gateway/apply",
        "/admin/v1/gateway/explain",
        "/admin/v1/reload",
        "/admin/v1/nothing",
    ];

    for path in paths {
        for token in [None, Some("wrong"), Some("")] {
            let answer = get(&format!("{ops}{path}"), token).await;
            assert_eq!(answer.status(), 401, "{path} with {token:?}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    for public in [dev.text("/gateway"), dev.text("/issuer")] {
        let answer = get(&format!("{public}/admin/v1/clients"), Some(&dev.text("/admin_token"))).await;
        assert_eq!(answer.status(), 404, "{public} has no administration");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_say_what_works() {
    let dev = Dev::start();
    let ops = dev.text("/ops");

    let ready = get(&format!("{ops}/readyz?verbose"), None).await;
    let metrics = get(&format!("{ops}/metrics"), None).await;

    assert_eq!(get(&format!("{ops}/livez"), None).await.status(), 200);
    assert_eq!(ready.status(), 200, "{:?}", ready.body());
    let text = String::from_utf8(ready.body().to_vec()).unwrap();
    assert!(text.contains("[+] identity: database: answers"), "{text}");
    let text = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(text.contains("cardea_identity_") && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_whole_and_tells_who() {
    let dev = Dev::start();
    dev.ok(&["client", "create", "shop", "--grant", "client_credentials"]);

    let records = dev.json(&["audit", "--client", "shop"]);
    let verified = dev.json(&["audit", "--verify"]);

    let acts: Vec<&Value> = records["items"].as_array().unwrap().iter().map(|record| &record["act"]).collect();
    assert!(acts.contains(&&json!("client.created")), "{records}");
    assert!(records["items"].as_array().unwrap().iter().all(|record| record["actor"] == "admin:dev"), "{records}");
    assert_eq!(verified["whole"], true, "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_in_good_order_when_told() {
    let dev = Dev::start();

    assert_eq!(dev.server.terminate(), Some(0));
}

/// Roles apart: identity on PostgreSQL, two gateways, each a process; the same walk.
#[tokio::test(flavor = "multi_thread")]
async fn apart_on_postgresql_a_revocation_shuts_the_door_at_two_gateways() {
    let database = testkit::db::postgres(&[]).await;
    let store::Config::Postgres { url, schema } = &database.config else { panic!("PostgreSQL") };
    let identity = Apart::identity(url.expose(), schema);
    let secrets = identity.prepare();
    let echo = Dev::start();
    // Any service that verifies JWTs of this issuer will do: one that only answers stands in for it here.
    let upstream = echo.text("/ops");
    let gateways = [identity.gateway(&secrets, &upstream), identity.gateway(&secrets, &upstream)];
    let token = identity.token(&secrets.app);

    for gateway in &gateways {
        assert_eq!(get(&gateway.url, Some(&token)).await.status(), 200);
    }
    identity.ok(&["token", "revoke", &token]);

    for gateway in &gateways {
        until_status(&gateway.url, &token, 401).await;
    }
}

/// The last good configuration of a gateway starts it again while identity is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_with_what_it_had_while_identity_is_down() {
    let database = testkit::db::postgres(&[]).await;
    let store::Config::Postgres { url, schema } = &database.config else { panic!("PostgreSQL") };
    let mut identity = Apart::identity(url.expose(), schema);
    let secrets = identity.prepare();
    let upstream = Dev::start();
    let gateway = identity.gateway(&secrets, &upstream.text("/ops"));
    let token = identity.token(&secrets.app);
    assert_eq!(get(&gateway.url, Some(&token)).await.status(), 200);
    identity.server.take().unwrap().kill();
    write(&gateway.folder.path().join("resources/all.yaml"), "kind: Route\nname: broken\nspec: {}\n");

    let gateway = gateway.killed_and_started_again();

    let answer = get(&gateway.url, Some(&token)).await;
    assert!(matches!(answer.status().as_u16(), 502 | 503), "an outage, said as one: {}", answer.status());
    assert_eq!(get(&gateway.url, None).await.status(), 401, "the route is still there and still guarded");
}

/// A new process takes the sockets while requests run: none is refused, none is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_over_without_a_failed_request() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports();
    let at = |name: &str| folder.path().join(name);
    let (token, ops) = (base::random::text::<32>(), format!("http://127.0.0.1:{}", port + 1));
    write(&at("admin.token"), &token);
    write(
        &at("all.yaml"),
        &format!(
            "kind: Upstream\nname: self\nspec: {{ endpoints: ['{ops}'] }}\n---\nkind: Service\nname: self\n\
             spec: {{ upstream: self }}\n---\nkind: Route\nname: live\n\
             spec: {{ match: {{ path: /livez }}, service: self, auth: none }}\n"
        ),
    );
    write(
        &at("cardea.yaml"),
        &format!(
            "data: ./data\ngateway:\n  listen: [{{ address: '127.0.0.1:{port}' }}]\n  publicUrl: http://localhost:{port}\n  \
             resources: ./all.yaml\nops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
            port + 1
        ),
    );
    let config = at("cardea.yaml");
    let old = Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway"]);
    let url = format!("http://127.0.0.1:{port}/livez");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = tokio::spawn({
        let (url, stop) = (url.clone(), stop.clone());
        async move {
            let mut answered = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(get(&url, None).await.status(), 200);
                answered += 1;
            }
            answered
        }
    });

    let reference = format!("file:{}", at("admin.token").display());
    let asked = run(&["reload", "--binary", "--server", &ops, "--admin-token", &reference], None);
    let code = old.ended();
    let after = get(&url, None).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);

    assert!(asked.status.success(), "{}", err(&asked));
    assert_eq!(code, Some(0), "the old process ends in good order");
    assert_eq!(after.status(), 200);
    assert!(load.await.unwrap() > 0);
    let process = get(&format!("{ops}/admin/v1"), Some(&token)).await;
    let new = body(&process)["process"].as_i64().unwrap();
    support::terminate(i32::try_from(new).unwrap());
}

struct Apart {
    folder: tempfile::TempDir,
    server: Option<Server>,
    issuer: String,
    ops: String,
}

struct Secrets {
    app: String,
    gateway: String,
}

struct Gateway {
    folder: tempfile::TempDir,
    server: Server,
    url: String,
}

impl Gateway {
    fn killed_and_started_again(self) -> Self {
        let Self { folder, server, url } = self;
        server.kill();
        let config = folder.path().join("cardea.yaml");
        let server = Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway"]);
        Self { folder, server, url }
    }
}

impl Apart {
    fn identity(url: &str, schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports();
        let (issuer, ops) = (format!("http://localhost:{port}"), format!("http://localhost:{}", port + 1));
        let at = |name: &str| folder.path().join(name);
        write(&at("admin.token"), &base::handle::encode(base::handle::ADMIN_TOKEN, &base::random::bytes::<32>()));
        write(&at("master.key"), &base::random::text::<48>());
        write(&at("database.url"), url);
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\nroles: [identity]\nidentity:\n  issuer: {issuer}\n  listen: 127.0.0.1:{port}\n  \
                 masterKey: file:master.key\n  database: {{ postgres: 'file:database.url', schema: {schema} }}\n\
                 ops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        let server = Server::start(&["serve", "--json", "--config", at("cardea.yaml").to_str().unwrap()]);
        Self { folder, server: Some(server), issuer, ops }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let token = format!("file:{}", self.folder.path().join("admin.token").display());
        let mut all = arguments.to_vec();
        all.extend(["--server", &self.ops, "--admin-token", &token]);
        let output = run(&all, None);
        assert!(output.status.success(), "cardea {arguments:?}: {}", err(&output));
        out(&output)
    }

    fn prepare(&self) -> Secrets {
        let file = self.folder.path().join("sample.yaml");
        write(
            &file,
            "kind: ResourceServer\nname: echo\nspec: { audience: 'https://echo.internal' }\n---\nkind: Scope\nname: echo.read\n\
             spec: { audience: 'https://echo.internal' }\n---\nkind: Client\nname: app\nspec: { grantTypes: [client_credentials], \
             scopes: [echo.read] }\n---\nkind: Client\nname: gateway\nspec: { introspect: ['https://echo.internal'], events: true }\n",
        );
        self.ok(&["apply", "-f", file.to_str().unwrap()]);
        let secret = |client: &str| self.ok(&["client", "secret", "add", client]).trim().to_owned();
        Secrets { app: secret("app"), gateway: secret("gateway") }
    }

    fn token(&self, secret: &str) -> String {
        let file = self.folder.path().join("app.secret");
        write(&file, secret);
        let secret = format!("file:{}", file.display());
        let output =
            run(&["token", "app", "--scope", "echo.read", "--issuer", &self.issuer, "--secret", &secret], None);
        assert!(output.status.success(), "{}", err(&output));
        out(&output).trim().to_owned()
    }

    fn gateway(&self, secrets: &Secrets, upstream: &str) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("resources")).unwrap();
        write(&at("admin.token"), &base::random::text::<32>());
        write(&at("resources/gateway.secret"), &secrets.gateway);
        write(
            &at("resources/all.yaml"),
            &format!(
                "kind: Issuer\nname: main\nspec: {{ issuer: '{}', introspection: {{ as: gateway, secret: 'file:gateway.secret', \
                 revocations: {{ maxLag: 5s }} }} }}\n---\nkind: Upstream\nname: echo\nspec: {{ endpoints: ['{upstream}'] }}\n---\n\
                 kind: Service\nname: echo\nspec: {{ upstream: echo, audience: 'https://echo.internal' }}\n---\nkind: Route\n\
                 name: echo\nspec: {{ match: {{ path: /livez }}, service: echo, auth: {{ issuer: main, scopes: [echo.read] }} }}\n",
                self.issuer
            ),
        );
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\ngateway:\n  listen: [{{ address: '127.0.0.1:{port}' }}]\n  publicUrl: http://localhost:{port}\n  \
                 resources: ./resources\nops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        let config = at("cardea.yaml");
        let server = Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway"]);
        Gateway { folder, server, url: format!("http://localhost:{port}/livez") }
    }
}
