use proptest::prelude::*;

use super::{SKETCH, resources, routes, snapshot};
use crate::{CanonicalPath, Found, Snapshot, Verdict, export, parse};

fn route_of(snapshot: &Snapshot, method: &str, host: &str, path: &str) -> String {
    let path = CanonicalPath::new(path).unwrap();
    match snapshot.find(method, host, &path) {
        Found::Route(route) => route.name.to_string(),
        Found::MethodNotAllowed(allow) => format!("405 {}", allow.join(",")),
        Found::Nothing => "404".to_owned(),
    }
}

#[test]
fn the_sketch_compiles_as_printed() {
    let snapshot = snapshot(SKETCH);

    assert_eq!(route_of(&snapshot, "GET", "api.test", "/orders/42"), "orders-read");
    assert_eq!(route_of(&snapshot, "HEAD", "api.test", "/orders/42"), "orders-read");
    assert_eq!(route_of(&snapshot, "POST", "api.test", "/orders/42"), "405 GET,HEAD");
    assert_eq!(route_of(&snapshot, "GET", "api.test", "/orders"), "404");
    assert_eq!(route_of(&snapshot, "GET", "api.test", "/orders/"), "404");
    assert_eq!(route_of(&snapshot, "GET", "api.test", "/orders/42/"), "404");
    assert_eq!(route_of(&snapshot, "GET", "api.test", "/Orders/42"), "404");
}

#[test]
fn the_most_specific_path_wins_and_methods_do_not_lead_around_it() {
    let text = routes(&[
        ("/a/{x}", &["GET", "POST"]),
        ("/a/b", &["GET"]),
        ("/a/{rest...}", &[]),
        ("/{rest...}", &[]),
        ("/a/{x}/c", &[]),
        ("/$batch", &["PUT"]),
    ]);
    let snapshot = snapshot(&text);
    let find = |method: &str, path: &str| route_of(&snapshot, method, "x", path);

    assert_eq!(find("GET", "/a/b"), "r1");
    assert_eq!(find("POST", "/a/b"), "405 GET,HEAD");
    assert_eq!(find("GET", "/a/%62"), "r1");
    assert_eq!(find("POST", "/a/z"), "r0");
    assert_eq!(find("POST", "/a/z/c"), "r4");
    assert_eq!(find("POST", "/a/z/d"), "r2");
    assert_eq!(find("GET", "/a/"), "r2");
    assert_eq!(find("GET", "/a"), "r3");
    assert_eq!(find("GET", "/"), "r3");
    assert_eq!(find("PUT", "/%24batch"), "r5");
    assert_eq!(find("GET", "/%24batch"), "405 PUT");
}

#[test]
fn an_exact_host_goes_before_a_wildcard_and_that_before_none() {
    let mut text = SKETCH.to_owned();
    for (name, hosts) in [("exact", "[a.test]"), ("wild", "['*.test']"), ("any", "[]")] {
        text.push_str(&format!(
            "---\nkind: Route\nname: {name}\nspec: {{ match: {{ path: /h, hosts: {hosts} }}, service: orders, auth: none }}\n"
        ));
    }
    let snapshot = snapshot(&text);

    assert_eq!(route_of(&snapshot, "GET", "A.test:8080", "/h"), "exact");
    assert_eq!(route_of(&snapshot, "GET", "b.test.", "/h"), "wild");
    assert_eq!(route_of(&snapshot, "GET", "c.b.test", "/h"), "any");
    assert_eq!(route_of(&snapshot, "GET", "[::1]:80", "/h"), "any");
    assert_eq!(route_of(&snapshot, "GET", "a.test", "/orders/1"), "orders-read");
}

#[test]
fn ambiguous_pairs_are_refused() {
    for (first, second) in [
        ("/a/{x}", "/a/{y}"),
        ("/a/{x}/c", "/{y}/b/c"),
        ("/a/{rest...}", "/{x}/b"),
        ("/{x}/b", "/a/{rest...}"),
        ("/{x}/b/{rest...}", "/a/{rest...}"),
        ("/a/{rest...}", "/{x}/b/{rest...}"),
    ] {
        let set = resources(&routes(&[(first, &[]), (second, &[])]));

        let faults = Snapshot::compile(&set).unwrap_err();

        assert_eq!(faults.len(), 1, "{first} {second}");
        assert!(faults[0].message.contains("neither is the more specific"), "{}", faults[0]);
    }
}

#[test]
fn pairs_of_which_one_is_more_specific_are_not_ambiguous() {
    snapshot(&routes(&[
        ("/a/{x}", &["GET"]),
        ("/a/{y}", &["POST"]),
        ("/a/{z}", &[]),
        ("/a/b", &[]),
        ("/{x}/{y}", &[]),
        ("/{x}/{y}/{rest...}", &[]),
        ("/{rest...}", &[]),
    ]));
}

#[test]
fn a_rewrite_moves_the_parameters() {
    let text = format!(
        "{SKETCH}---\nkind: Service\nname: old\nspec: {{ upstream: orders-pool, pathPrefix: /base/ }}\n---\nkind: Route\nname: new\nspec: {{ match: {{ path: '/n/{{id}}/{{rest...}}' }}, service: old, auth: none, rewrite: {{ path: '/v2/{{id}}/x/{{rest...}}' }} }}\n"
    );
    let explanation = snapshot(&text).explain("GET", "h", "/n/%61%2bb/c/d%C3%A4");

    let Verdict::Route(chosen) = explanation.verdict else { panic!("{explanation:?}") };
    assert_eq!(chosen.service.as_ref().unwrap().forwarded_path, "/base/v2/a%2Bb/x/c/d%C3%A4");
}

#[test]
fn explain_says_which_route_and_where_it_is_written() {
    let explanation = snapshot(SKETCH).explain("GET", "", "/orders/42");

    insta::assert_snapshot!(explanation.to_string(), @r"
    GET /orders/42 (host any)
      route     orders-read (/orders/{id})  set.yaml:9:1
      service   orders  set.yaml:5:1
      upstream  orders-pool  set.yaml:13:1
      sent as   /orders/42
      limits    body 10485760 bytes, answer begins within 60000 ms
      auth      token of issuer main (set.yaml:1:1) for https://orders.internal  set.yaml:11:73
                with scopes orders_read
    ");
}

#[test]
fn explain_says_who_decides_and_what_is_asked() {
    let source = |name: &str, spec: &str| format!("---\nkind: PolicySource\nname: {name}\nspec: {spec}\n");
    let route = |name: &str, policy: &str| {
        format!(
            "---\nkind: Route\nname: {name}\nspec:\n  match: {{ path: '/{name}/{{patient}}', methods: [GET] }}\n  service: orders\n  auth: {{ issuer: main }}\n  policy: {policy}\n"
        )
    };
    let resource = "resource: { type: PatientRecord, id: 'p-{patient}' }";
    let text = [
        SKETCH.to_owned(),
        source("central", "{ snapshot: { url: https://pdp.test, secret: file:pdp.secret } }"),
        source("theirs", "{ authzen: { url: https://other.test } }"),
        route("plain", "{ source: central }"),
        route("asked", &format!("{{ source: theirs, mode: shadow, action: read_record, {resource} }}")),
        route("off", "{ source: central, mode: off }"),
    ];
    let snapshot = snapshot(&text.concat());
    let policy = |path: &str| {
        let text = snapshot.explain("GET", "", path).to_string();
        text.find("  policy").map(|at| text[at..].trim_start().to_owned()).unwrap_or_default()
    };

    insta::assert_snapshot!(policy("/plain/7"), @r"
    policy    decided in the gateway by the policies of central (set.yaml:17:1)  set.yaml:31:3
                may the subject call Operation orders/plain?
    ");
    insta::assert_snapshot!(policy("/asked/a%2Bb"), @r"
    policy    asked at each call of theirs (set.yaml:21:1)  set.yaml:39:3
                may the subject read_record PatientRecord p-a+b?
                in shadow: written down, nothing is refused
    ");
    assert_eq!(policy("/off/7"), "");
}

#[test]
fn what_was_exported_is_read_back() {
    let set = resources(SKETCH);

    let again = parse("again.yaml", &export(&set)).unwrap();

    assert!(crate::changes(&set, &again).is_empty());
    assert_eq!(crate::changes(&set, &again[1..]).len(), 1);
}

proptest! {
    /// R17: a path that matched is sent on as the text that was matched, and matches again.
    #[test]
    fn the_matched_path_is_the_forwarded_path(raw in "/(orders|%6frders|a)(/([a-z.;$]|%[0-9a-f]{2}){0,6}){0,3}") {
        static SNAPSHOT: std::sync::LazyLock<Snapshot> = std::sync::LazyLock::new(|| {
            snapshot(&routes(&[("/orders/{id}/{rest...}", &[]), ("/a/b", &[]), ("/{rest...}", &["GET"])]))
        });
        let snapshot = &*SNAPSHOT;
        let Ok(path) = CanonicalPath::new(&raw) else { return Ok(()) };
        let Found::Route(route) = snapshot.find("GET", "h", &path) else { return Ok(()) };

        let forwarded = route.forwarded_path(&path).unwrap().into_owned();

        prop_assert_eq!(forwarded.as_str(), path.as_str());
        let again = CanonicalPath::new(&forwarded).unwrap();
        let Found::Route(same) = snapshot.find("GET", "h", &again) else { panic!("lost") };
        prop_assert_eq!(&same.name, &route.name);
    }
}
