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
use support::{Dev, body, err, get, out, run_command, until_status, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_sample_until_it_is_revoked() {
    let dev = Dev::start();
    let api = dev.text("/sample/api");
    let asked = dev.ok(&["token", "hello-app", "--scope", "echo.read", "--scope", "echo.account"]);
    let token = asked.trim().to_owned();

    let answer = get(&api, Some(&token)).await;
    dev.ok(&["token", "revoke", &token]);
    until_status(&api, &token, 401).await;

    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    let seen = body(&answer);
    let received = &seen["upstream_received"];
    assert_eq!(received["header"]["typ"], "at+jwt");
    assert_eq!(received["claims"]["aud"], "https://echo.internal");
    assert_eq!(received["claims"]["client_id"], dev.text("/sample/client_id"));
    assert!(answer.headers().contains_key("ratelimit"), "the plan is counted: {:?}", answer.headers());
    assert_eq!(received["claims"]["account_nr"], "4711-0815");
    let text = seen.to_string();
    assert!(!text.contains(&token) && !text.contains("eyJ"), "no token is shown: {text}");
    assert_eq!(get(&api, None).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_published_decided_logged_and_rolled_back() {
    let dev = Dev::start();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/examples/patient");
    let url = dev.text("/entitlement/url");
    let ask = async |secret: &str| {
        let question = json!({
            "subject": {"type": "user", "id": "ann"}, "action": {"name": "read_record"},
            "resource": {"type": "patient_record", "id": "r1"},
            "context": {"device": {"enrolled": true}, "network": {"address": "10.20.0.1"}},
        });
        let request = http::Request::post(format!("{url}/access/v1/evaluation"))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json")
            .header("x-request-id", "walk-1")
            .body(bytes::Bytes::from(question.to_string()))
            .unwrap();
        support::call(request).await
    };
    let secret = dev.text("/entitlement/callers/identity");
    assert_eq!(ask("nobody").await.status(), 401);
    assert_eq!(
        body(&ask(&secret).await)["context"]["policy_version"],
        1,
        "what was made for the sample says nothing of it"
    );

    assert!(dev.ok(&["policy", "publish", example, "--comment", "first"]).starts_with("version 2 is in force"));
    dev.ok(&["policy", "entities", "put", &format!("{example}/tests.yaml")]);
    let denied = body(&ask(&secret).await);
    let untested = dev.data.join("untested.cedar");
    write(&untested, "permit (principal, action, resource);");
    let refused = dev.cardea(&["policy", "publish", untested.to_str().unwrap()]);
    let second = dev.json(&["policy", "publish", example]);
    let back = dev.json(&["policy", "rollback", "2"]);

    assert_eq!((&denied["decision"], &denied["context"]["step_up"]["max_age"]), (&json!(false), &json!(900)));
    assert_eq!(refused.status.code(), Some(5), "{}", err(&refused));
    assert_eq!((&second["version"], &back["version"], &back["activation"]), (&json!(4), &json!(2), &json!(4)));
    let versions = dev.json(&["policy", "versions"]);
    assert_eq!((&versions["active"], &versions["items"][0]["author"]), (&json!(2), &json!("operator dev")));
    assert!(dev.ok(&["policy", "versions", "2"]).contains("recent-login"));
    // The log is written behind the decisions.
    let logged = loop {
        let found = dev.json(&["policy", "decisions", "--request", "walk-1", "--subject", "ann"]);
        if found["items"].as_array().unwrap().len() == 2 {
            break found;
        }
    };
    assert_eq!(
        (&logged["items"][0]["caller"], &logged["items"][0]["reasons"]),
        (&json!("identity"), &json!(["recent-login"]))
    );
    let ready = get(&format!("{}/readyz?verbose", dev.text("/ops")), None).await;
    let ready = String::from_utf8(ready.body().to_vec()).unwrap();
    assert!(ready.contains("entitlement: policies: version 2"), "{ready}");
    let metrics = get(&format!("{}/metrics", dev.text("/ops")), None).await;
    assert!(String::from_utf8(metrics.body().to_vec()).unwrap().contains("cardea_entitlement_decisions_total"));

    let dev = dev.killed_and_started_again();

    assert_eq!(body(&ask(&secret).await)["context"]["policies"], json!(["recent-login"]), "{}", dev.text("/ops"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_shuts_the_sample_and_opens_it_again() {
    let dev = Dev::start();
    let (api, token) = (dev.text("/sample/api"), dev.token());
    assert_eq!(get(&api, Some(&token)).await.status(), 200, "ready is ready");
    let closed = dev.data.join("closed");
    std::fs::create_dir(&closed).unwrap();
    write(
        &closed.join("closed.cedar"),
        "@id(\"closed\") @reason(\"Closed today.\") forbid (principal, action, resource);",
    );
    write(
        &closed.join("tests.yaml"),
        "tests:\n- name: closed\n  question:\n    subject: { type: client, id: hello-app }\n    action: { name: call }\n    \
         resource: { type: operation, id: echo/echo }\n  expect: deny\n  because: [closed]\n",
    );

    dev.ok(&["policy", "publish", closed.to_str().unwrap()]);
    until_status(&api, &token, 403).await;
    let refused = get(&api, Some(&token)).await;
    dev.ok(&["policy", "rollback", "1"]);
    until_status(&api, &token, 200).await;

    assert_eq!(body(&refused)["detail"], "Closed today.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_kill_9() {
    let dev = Dev::start();
    let (kept, revoked) = (dev.token(), dev.token());
    let api = dev.text("/sample/api");
    // The link to the console is another one each time: it is good once.
    let kept_secrets = |dev: &Dev| {
        let mut ready = dev.server.ready.clone();
        ready.as_object_mut().unwrap().remove("console").unwrap();
        ready
    };
    let before = kept_secrets(&dev);
    dev.ok(&["client", "create", "shop", "--grant", "client_credentials"]);
    dev.ok(&["token", "revoke", &revoked]);

    let dev = dev.killed_and_started_again();

    assert_eq!(get(&api, Some(&kept)).await.status(), 200);
    assert_eq!(get(&api, Some(&revoked)).await.status(), 401);
    assert_eq!(dev.json(&["client", "show", "shop"])["name"], "shop");
    assert_eq!(kept_secrets(&dev), before, "the same secrets as before");
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
    // What `cardea dev` writes anew at each start is this folder's: elsewhere it would stand against another file's.
    assert!(!dev.ok(&["export"]).contains("kind: Issuer"), "it stands in a file");
    let told = dev.cardea(&["export"]);
    assert!(err(&told).contains("Issuer main (") && err(&told).contains("--with-files"), "{}", err(&told));
    assert!(dev.ok(&["export", "--with-files"]).contains("kind: Issuer"));
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
    let still = dev.json(&["client", "show", "portal"]);
    let done = dev.json(&["apply", "-f", file, "--prune", "--yes"]);

    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("Client portal"), "{}", err(&refused));
    assert_eq!(still["name"], "portal");
    assert_eq!(done["removed"], 1, "{done}");
    assert_eq!(dev.cardea(&["client", "show", "portal"]).status.code(), Some(5));
    let registered = dev.cardea(&["client", "show", &dev.text("/sample/client_id")]);
    assert!(registered.status.success(), "what applications registered is no resource of a file");
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
async fn a_route_is_explained_with_where_it_is_written() {
    let dev = Dev::start();

    let answer = dev.ok(&["explain", "GET", "/echo/hi"]);
    let nothing = dev.cardea(&["explain", "GET", "/nowhere"]);

    assert!(answer.contains("published"), "{answer}");
    assert!(answer.contains("echo.read"), "{answer}");
    assert!(answer.contains("decided in the gateway by the policies of central"), "{answer}");
    assert!(answer.contains("may the subject call Operation echo/echo?"), "{answer}");
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
        "/admin/v1/gateway/openapi.json",
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

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_administration_token_is_said_and_has_its_exit_code() {
    let dev = Dev::start();
    let mut command = support::command(&["client", "list", "--server", &dev.text("/ops")]);
    command.env("CARDEA_ADMIN_TOKEN", "cad_wrong");

    let refused = run_command(command, None);

    assert_eq!(refused.status.code(), Some(4), "{}", err(&refused));
    assert!(err(&refused).contains("--admin-token"), "{}", err(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_fit_wide_and_narrow() {
    let dev = Dev::start();
    let list = |columns: &str| {
        let mut command = support::command(&["client", "list", "--data", dev.data.to_str().unwrap()]);
        command.env("COLUMNS", columns);
        // An id of the identity system's making; another one of the same length makes the list comparable.
        out(&run_command(command, None)).replace(&dev.text("/sample/client_id"), &"0".repeat(32))
    };

    insta::assert_snapshot!("client_list_80", list("80"));
    let narrow = list("40");

    insta::assert_snapshot!("client_list_40", narrow);
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_on_stdin_and_a_short_one_is_refused() {
    let dev = Dev::start();
    dev.ok(&["user", "create", "ada", "--name", "Ada", "--attribute", "account_nr=7"]);
    let set = |password: &str| {
        let command = support::command(&["user", "password", "ada", "--data", dev.data.to_str().unwrap()]);
        run_command(command, Some(password))
    };

    let short = set("short\n");
    let empty = set("");
    let good = set("correct horse battery staple\n");

    assert_eq!(short.status.code(), Some(5), "{}", err(&short));
    assert!(err(&short).contains("/password") && !err(&short).contains("short\n"), "{}", err(&short));
    assert_eq!(empty.status.code(), Some(2));
    assert!(good.status.success(), "{}", err(&good));
    assert!(dev.json(&["audit", "--since", "15m"]).to_string().contains("password.set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_exists_is_not_made_again() {
    let dev = Dev::start();
    let create = ["client", "create", "shop", "--grant", "client_credentials", "--scope", "echo.read"];
    let made = dev.json(&create);

    let again = dev.cardea(&create);

    assert!(made["client_secret"].as_str().is_some_and(|secret| secret.starts_with("ccs_")), "{made}");
    assert_eq!(again.status.code(), Some(5), "{}", err(&again));
    assert!(err(&again).contains("exists already"), "{}", err(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_of_a_file_is_refused_and_the_old_set_goes_on() {
    let dev = Dev::start();
    let token = dev.token();
    write(&dev.data.join("resources/echo.yaml"), "kind: Route\nname: echo\nspec: { match: { path: /echo } }\n");

    let refused = dev.cardea(&["reload"]);

    assert_eq!(refused.status.code(), Some(5), "{}", err(&refused));
    assert!(err(&refused).contains("echo.yaml:"), "{}", err(&refused));
    assert_eq!(get(&dev.text("/sample/api"), Some(&token)).await.status(), 200);
    let ready = get(&format!("{}/readyz?verbose", dev.text("/ops")), None).await;
    assert_eq!(ready.status(), 200);
    assert!(String::from_utf8_lossy(ready.body()).contains("[!] gateway: resources"), "{:?}", ready.body());
}
