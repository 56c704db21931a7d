//! Roles in processes of their own: identity on PostgreSQL, gateways that follow it, a process that takes over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use support::{Dev, Server, body, err, free_ports, get, out, run, until_status, write};

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

/// The entitlement system alone, on both databases, and on an address of its own with secrets of callers.
#[tokio::test(flavor = "multi_thread")]
async fn the_entitlement_system_runs_alone() {
    let database = testkit::db::postgres(&[]).await;
    let store::Config::Postgres { url, schema } = &database.config else { panic!("PostgreSQL") };
    for database in ["sqlite".to_owned(), format!("{{ postgres: 'file:database.url', schema: {schema} }}")] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports();
        let at = |name: &str| folder.path().join(name);
        let (pdp, ops) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
        write(&at("admin.token"), &base::random::text::<48>());
        write(&at("database.url"), url.expose());
        let (asking, reading) = (base::random::text::<48>(), base::random::text::<48>());
        write(&at("asking.secret"), &asking);
        write(&at("reading.secret"), &reading);
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\nentitlement:\n  url: '{pdp}'\n  listen: '127.0.0.1:{port}'\n  database: {database}\n  callers:\n  \
                 - {{ name: asking, secret: 'file:asking.secret', rights: [evaluate] }}\n  \
                 - {{ name: reading, secret: 'file:reading.secret', rights: [read, snapshot] }}\n\
                 ops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        let config = at("cardea.yaml");
        let migrated = run(&["migrate", "--config", config.to_str().unwrap()], None);
        let server =
            Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "entitlement"]);
        let token = format!("file:{}", at("admin.token").display());
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/examples/patient");

        let published = run(&["policy", "publish", example, "--server", &ops, "--admin-token", &token], None);

        assert!(out(&migrated).starts_with("entitlement: schema is at migration"), "{}", err(&migrated));
        assert!(published.status.success(), "{}", err(&published));
        assert_eq!(server.ready["roles"], serde_json::json!(["entitlement"]));
        let snapshot = get(&format!("{pdp}/policy/v1/snapshot"), Some(&reading)).await;
        assert_eq!((snapshot.status().as_u16(), &body(&snapshot)["version"]), (200, &1.into()));
        assert_eq!(get(&format!("{pdp}/policy/v1/snapshot"), Some(&asking)).await.status(), 403);
        assert_eq!(get(&format!("{pdp}/admin/v1/policies"), Some(&reading)).await.status(), 200, "who may read");
        assert_eq!(get(&format!("{pdp}/admin/v1/policies"), Some(&asking)).await.status(), 403);
        assert_eq!(get(&format!("{pdp}/admin/v1/policies"), None).await.status(), 401);
        assert_eq!(get(&format!("{pdp}/nothing"), None).await.status(), 404);
        assert_eq!(get(&format!("{ops}/admin/v1/policies"), Some(&reading)).await.status(), 401, "operators alone");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn a_caller_with_a_short_or_shared_secret_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("admin.token"), &"t".repeat(48));
    write(&at("short.secret"), &"s".repeat(31));
    write(&at("long.secret"), &"s".repeat(32));
    let serve = |callers: &str| {
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\nentitlement: {{ url: 'http://127.0.0.1:1', listen: '127.0.0.1:0', callers: [{callers}] }}\n\
                 ops: {{ listen: '127.0.0.1:0', adminToken: 'file:admin.token' }}\n"
            ),
        );
        let output = run(&["serve", "--config", at("cardea.yaml").to_str().unwrap()], None);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        err(&output)
    };

    assert!(serve("{ name: a, secret: 'file:short.secret', rights: [evaluate] }").contains("it needs 32"));
    let shared = "{ name: a, secret: 'file:long.secret', rights: [evaluate] }, { name: b, secret: 'file:long.secret', rights: [evaluate] }";
    assert!(serve(shared).contains("have the same secret"));
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
    let good = std::fs::read_to_string(&config).unwrap();
    write(&config, "nonsense: true\n");
    let refused = run(&["reload", "--binary", "--server", &ops, "--admin-token", &reference], None);
    write(&config, &good);
    assert_eq!(refused.status.code(), Some(5), "a process that cannot start takes nothing over: {}", err(&refused));
    assert_eq!(get(&url, None).await.status(), 200);

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
