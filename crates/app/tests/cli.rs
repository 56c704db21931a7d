//! What people read and scripts rely on, without a server: texts at 80 and 40 columns, exit codes, errors that say
//! what to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use std::path::Path;
use std::process::Output;

use support::{command, err, out, run, run_command, write};

fn at_columns(columns: u32, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    command.current_dir(folder).env("COLUMNS", columns.to_string());
    run_command(command, None)
}

fn shown(output: &Output) -> String {
    format!("exit {}\n--- stdout\n{}--- stderr\n{}", output.status.code().unwrap(), out(output), err(output))
}

#[test]
fn help_fits() {
    let here = Path::new(".");

    insta::assert_snapshot!("help_80", shown(&at_columns(80, here, &["--help"])));
    let narrow = at_columns(40, here, &["-h"]);

    insta::assert_snapshot!("help_40", shown(&narrow));
    assert!(out(&narrow).lines().all(|line| line.chars().count() <= 40), "{}", out(&narrow));
}

#[test]
fn faults_are_shown_with_file_line_and_the_word_meant() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("resources.yaml"),
        "kind: Client\nname: shop\nspec:\n  grantTypes: [client_credentials]\n  redirectUri: [http://127.0.0.1/]\n---\n\
         kind: Rout\nname: a\nspec: {}\n",
    );
    write(&folder.path().join("client.yaml"), "kind: Client\nname: shop\nspec:\n  redirectUri: [http://127.0.0.1/]\n");
    write(&folder.path().join("cardea.yaml"), "data: .\nopps: { listen: 127.0.0.1:1, adminToken: file:admin.token }\n");

    insta::assert_snapshot!("check_80", shown(&at_columns(80, folder.path(), &["check", "resources.yaml"])));
    insta::assert_snapshot!("check_client", shown(&at_columns(80, folder.path(), &["check", "client.yaml"])));
    insta::assert_snapshot!(
        "check_config",
        shown(&at_columns(80, folder.path(), &["check", "--config", "cardea.yaml"]))
    );
    insta::assert_snapshot!(
        "check_json",
        shown(&at_columns(80, folder.path(), &["check", "resources.yaml", "--json"]))
    );
}

#[test]
fn a_valid_set_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("resources.yaml"),
        "kind: Client\nname: shop\nspec: { grantTypes: [client_credentials] }\n---\nkind: User\nname: ada\nspec: { password: 'file:x' }\n",
    );

    insta::assert_snapshot!(shown(&at_columns(80, folder.path(), &["check", "."])));
}

#[test]
fn a_composition_is_checked_planned_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let set = "kind: Upstream\nname: nobody\nspec: { endpoints: [http://127.0.0.1:1] }\n---\nkind: Composition\nname: page\nspec:\n  \
               match: { path: \"/page/{id}\" }\n  auth: none\n  steps:\n  - name: a\n    required: false\n    \
               request: { upstream: nobody, path: \"/a/${ request.params.id }\" }\n  output:\n    body: { a: \"${ steps.a.ok }\", id: \"${ request.params.id }\" }\n";
    write(&folder.path().join("set.yaml"), set);
    write(&folder.path().join("bad.yaml"), &set.replace("request.params.id", "request.parms.id"));

    insta::assert_snapshot!("compose_check", shown(&at_columns(80, folder.path(), &["check", "bad.yaml"])));
    let plan = ["compose", "plan", "page", "set.yaml", "--param", "id=7"];
    insta::assert_snapshot!("compose_plan", shown(&at_columns(120, folder.path(), &plan)));
    let ran = at_columns(80, folder.path(), &["compose", "run", "page", "set.yaml", "--param", "id=7", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&out(&ran)).expect("JSON");
    assert_eq!(ran.status.code(), Some(0), "{}", err(&ran));
    assert_eq!(
        (&answer["status"], &answer["body"]["a"], &answer["body"]["id"]),
        (&200.into(), &false.into(), &"7".into())
    );
    assert_eq!(answer["report"]["parts"][0]["error"], "unreachable");
}

#[test]
fn policies_are_checked_tested_and_explained_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/examples/patient");
    std::fs::create_dir(folder.path().join("patient")).unwrap();
    for name in ["policy.cedar", "schema.cedarschema", "tests.yaml"] {
        std::fs::copy(example.join(name), folder.path().join("patient").join(name)).unwrap();
    }
    let good = std::fs::read_to_string(example.join("policy.cedar")).unwrap();
    std::fs::create_dir(folder.path().join("bad")).unwrap();
    write(&folder.path().join("bad/policy.cedar"), &good.replace("resource.doctor", "resource.docter"));
    std::fs::copy(example.join("schema.cedarschema"), folder.path().join("bad/schema.cedarschema")).unwrap();
    write(&folder.path().join("open.cedar"), "permit (principal, action == Action::\"read_record\", resource);\n");
    let run = |columns, arguments: &[&str]| shown(&at_columns(columns, folder.path(), arguments));

    insta::assert_snapshot!("policy_check", run(80, &["policy", "check", "patient"]));
    insta::assert_snapshot!("policy_check_fault", run(80, &["policy", "check", "bad"]));
    insta::assert_snapshot!("policy_check_json", run(80, &["policy", "check", "bad", "--json"]));
    insta::assert_snapshot!("policy_test", run(80, &["policy", "test", "patient"]));
    let lost = ["policy", "test", "open.cedar", "patient/schema.cedarschema", "patient/tests.yaml"];
    insta::assert_snapshot!("policy_test_fails", run(80, &lost));
    let context = r#"{"authentication": {"auth_time": 1767225000}, "device": {"id": "tablet-7", "enrolled": true}, "network": {"address": "203.0.113.9"}}"#;
    let ask = ["policy", "explain", "patient", "--subject", "user:ann", "--action", "read_record", "--resource"];
    let with = ["patient_record:r1", "--now", "1767225600", "--context", context];
    insta::assert_snapshot!("policy_explain", run(80, &[&ask[..], &with[..]].concat()));
    insta::assert_snapshot!("policy_nothing", run(80, &["policy", "test", "patient/tests.yaml"]));
}

#[test]
fn doctor_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();

    insta::assert_snapshot!("doctor_80", shown(&at_columns(80, folder.path(), &["doctor"])));
    let narrow = at_columns(40, folder.path(), &["doctor"]);

    insta::assert_snapshot!("doctor_40", shown(&narrow));
    assert!(out(&narrow).lines().all(|line| line.chars().count() <= 40), "{}", out(&narrow));
}

#[test]
fn without_a_server_the_error_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();

    insta::assert_snapshot!("no_server", shown(&at_columns(80, folder.path(), &["client", "list"])));
    let nobody = ["client", "list", "--server", "http://127.0.0.1:1", "--admin-token", "env:PATH"];
    insta::assert_snapshot!("nobody_there", shown(&at_columns(80, folder.path(), &nobody)));
    insta::assert_snapshot!(
        "nobody_there_json",
        shown(&at_columns(80, folder.path(), &[&nobody[..], &["--json"]].concat()))
    );
}

#[test]
fn a_token_for_administration_does_not_travel_in_the_clear() {
    let output = run(&["client", "list", "--server", "http://cardea.example", "--admin-token", "env:PATH"], None);

    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("without TLS"), "{}", err(&output));
}

#[test]
fn development_mode_stays_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();

    let output = at_columns(80, folder.path(), &["dev", "--address", "0.0.0.0"]);

    insta::assert_snapshot!(shown(&output));
    assert!(!folder.path().join(".cardea").exists(), "nothing is left behind");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let output = at_columns(80, folder.path(), &["dev", "--port", &port.to_string()]);

    assert_eq!(output.status.code(), Some(6));
    assert!(err(&output).contains(&format!("127.0.0.1:{port}")), "{}", err(&output));
    assert!(err(&output).contains("--port"), "{}", err(&output));
}

#[test]
fn a_bad_configuration_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("cardea.yaml"),
        "gateway: { lissen: [] }\nops: { listen: 127.0.0.1:1, adminToken: file:x }\n",
    );

    insta::assert_snapshot!(shown(&at_columns(80, folder.path(), &["serve"])));
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell], None);

        assert!(output.status.success());
        assert!(out(&output).contains("cardea"));
    }
}

#[test]
fn the_schema_of_resources_names_each_kind() {
    let schema: serde_json::Value = serde_json::from_str(&out(&run(&["schema", "resources"], None))).unwrap();

    for kind in ["Issuer", "Upstream", "Service", "Route"] {
        assert!(schema[kind]["properties"]["spec"].is_object(), "{kind}");
    }
}

fn installation(folder: &Path, admin_token: &str, listen: &str, proxies: &str) {
    write(&folder.join("admin.token"), admin_token);
    write(&folder.join("master.key"), &"m".repeat(48));
    let config = format!(
        "data: ./data\nroles: [identity]\nidentity: {{ issuer: 'https://id.example', listen: '{listen}', \
         masterKey: 'file:master.key', trustedProxies: {proxies} }}\n\
         ops: {{ listen: '127.0.0.1:1', adminToken: 'file:admin.token' }}\n"
    );
    write(&folder.join("cardea.yaml"), &config);
}

#[test]
fn a_short_administration_token_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    installation(folder.path(), &"t".repeat(31), "127.0.0.1:1", "[]");

    let output = at_columns(80, folder.path(), &["serve"]);

    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("`ops.adminToken` has 31 bytes; it needs 32"), "{}", err(&output));
    assert!(err(&output).contains("openssl rand"), "{}", err(&output));
}

#[test]
fn doctor_finds_that_all_logins_come_from_one_network() {
    let found = |listen: &str, proxies: &str| {
        let folder = tempfile::tempdir().unwrap();
        installation(folder.path(), &"t".repeat(48), listen, proxies);
        let output = at_columns(80, folder.path(), &["doctor", "--json"]);
        let findings: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
        let fault = |finding: &&serde_json::Value| {
            finding["level"] == "fault"
                && finding["what"].as_str().unwrap().contains("`identity.trustedProxies` is empty")
        };
        findings["findings"].as_array().unwrap().iter().filter(fault).count()
    };

    for inner in ["127.0.0.1:8081", "10.1.2.3:8081", "192.168.1.1:8081", "[::1]:8081", "[fd00::1]:8081"] {
        assert_eq!(found(inner, "[]"), 1, "{inner}");
        assert_eq!(found(inner, "['127.0.0.1/32']"), 0, "{inner}");
    }
    assert_eq!(found("198.51.100.1:8081", "[]"), 0);
}
