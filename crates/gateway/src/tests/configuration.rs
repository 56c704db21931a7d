use std::os::unix::fs::PermissionsExt;

use super::House;
use super::house::{RESOURCES, TOKEN};
use crate::ApplyMode;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_set_is_refused_whole_and_the_last_good_one_goes_on() {
    let house = House::new();
    let before = house.gateway.version();

    for bad in [
        RESOURCES.replace("methods: [GET]", "methds: [GET]"),
        RESOURCES.replace("service: orders,", "service: order,"),
        RESOURCES.replace("kind: Upstream", "kind: Upsteam"),
        RESOURCES.replace("file:gateway.secret", "file:missing.secret"),
        RESOURCES.replace("http://127.0.0.1:9000", "http://127.0.0.1:0"),
        format!("{RESOURCES}---\nkind: ["),
        format!("{RESOURCES}---\nkind: Composition\nname: both\nspec: {{}}\n"),
        // The same requests as a route, and a route's name.
        format!(
            "{RESOURCES}---\nkind: Composition\nname: both\nspec: {{ match: {{ path: '/orders/{{n}}', methods: [GET] }}, auth: none, output: {{}} }}\n"
        ),
        format!(
            "{RESOURCES}---\nkind: Composition\nname: public\nspec: {{ match: {{ path: /other }}, auth: none, output: {{}} }}\n"
        ),
        // A step to nowhere, and a secret that is not there.
        format!(
            "{RESOURCES}---\nkind: Composition\nname: both\nspec: {{ match: {{ path: /both }}, auth: none, steps: [{{ name: a, request: {{ service: nobody, path: / }} }}], output: {{}} }}\n"
        ),
        format!(
            "{RESOURCES}---\nkind: Composition\nname: both\nspec: {{ match: {{ path: /both }}, auth: none, tokens: {{ t: {{ url: 'http://issuer.test/token', as: g, secret: file:missing }} }}, output: {{}} }}\n"
        ),
        "kind: Issuer\nname: main\nspec:\n".to_owned(),
        String::new(),
        "# nothing yet\n".to_owned(),
    ] {
        std::fs::write(house.file(), &bad).unwrap();

        let faults = house.gateway.reload().unwrap_err();

        let text = faults[0].to_string();
        assert!(text.contains("set.yaml:") || text.contains("nothing is left"), "{text}");
        assert_eq!(house.gateway.version(), before);
        assert_eq!(house.call(TOKEN).await.status(), 200);
        assert!(house.gateway.ready().ready && !house.gateway.ready().checks[0].ok);
    }
    std::fs::write(house.file(), RESOURCES).unwrap();
    house.gateway.reload().unwrap();
    assert!(house.gateway.ready().checks[0].ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_set_serves_after_a_restart_with_everything_down() {
    let mut house = House::new();
    let kept = house.folder.path().join("data/gateway/last-good.yaml");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    *house.issuer.down.lock().unwrap() = true;

    std::fs::write(house.file(), "kind: Rout").unwrap();
    house.restart();

    assert_eq!(house.get("/public/x", &[]).await.status(), 200);
    assert_eq!(house.call(TOKEN).await.status(), 503);
    *house.issuer.down.lock().unwrap() = false;
    house.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(house.call(TOKEN).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_good_set_everything_is_answered_503() {
    let house = House::with("kind: Rout");

    let sent = house.get("/public/x", &[]).await;

    assert_eq!((sent.status(), sent.slug().as_str()), (503, "not_configured"));
    assert!(!house.gateway.ready().ready);
}

const MORE: &str = "kind: Route\nname: more\nspec: { match: { path: /more }, service: orders, auth: none }\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_set_goes_on_top_of_the_files_and_is_kept() {
    let mut house = House::new();

    let planned = house.gateway.apply(MORE, ApplyMode { dry_run: true, prune: false }).unwrap();
    assert_eq!(house.get("/more", &[]).await.status(), 404);
    let applied = house.gateway.apply(MORE, ApplyMode::default()).unwrap();
    assert_eq!(planned.changes, applied.changes);
    assert_eq!(applied.changes.len(), 1);
    assert_eq!(house.get("/more", &[]).await.status(), 200);

    assert!(house.gateway.apply(MORE, ApplyMode::default()).unwrap().changes.is_empty());
    house.restart();
    assert_eq!(house.get("/more", &[]).await.status(), 200);

    assert_eq!(house.gateway.apply("", ApplyMode { prune: true, dry_run: false }).unwrap().changes.len(), 1);
    assert_eq!(house.get("/more", &[]).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_set_that_does_not_fit_changes_nothing() {
    let house = House::new();

    for bad in [MORE.replace("orders", "nothing"), MORE.replace("name: more", "name: public"), "kind: [".to_owned()] {
        assert!(!house.gateway.apply(&bad, ApplyMode::default()).unwrap_err().is_empty());
        assert!(!house.gateway.apply(&bad, ApplyMode { dry_run: true, prune: false }).unwrap_err().is_empty());
    }
    house.gateway.reload().unwrap();
    assert_eq!(house.get("/public/x", &[]).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_served_without_a_word() {
    let house = House::new();
    let first = house.gateway.version().unwrap().hash;

    std::fs::write(house.file(), format!("{RESOURCES}---\n{MORE}")).unwrap();
    let noticed = async {
        while house.gateway.version().unwrap().hash == first {
            tokio::task::yield_now().await;
        }
    };

    tokio::time::timeout(std::time::Duration::from_secs(20), noticed).await.unwrap();
    assert_eq!(house.get("/more", &[]).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_the_environment_too_and_are_in_no_export() {
    let house = House::with(&RESOURCES.replace("file:gateway.secret", "env:SECRET"));

    house.call(TOKEN).await;

    let expected = "Basic Z2F0ZSUzQXdheTpmcm9tK3RoZStlbnZpcm9ubWVudA==";
    assert_eq!(house.issuer.seen.lock().unwrap()[0].0["authorization"], expected);
    assert!(house.gateway.export().contains("env:SECRET"));
    assert!(!house.gateway.export().contains("from the environment"));
}
