//! Documents as people send them: what becomes of them, what is said about them, what is refused.

use serde_json::{Value, json};

use super::shop;
use crate::registry::generate::Placement;
use crate::registry::import::made_of;
use crate::registry::lint::Level;
use crate::registry::openapi::{OpenApi, read};
use crate::registry::{differences, document_for_consumers};
use catalog::published::Document;

fn placed(base_path: &str) -> Placement {
    Placement {
        name: "shop".to_owned(),
        upstream: "http://127.0.0.1:3000/v1".to_owned(),
        base_path: base_path.to_owned(),
        audience: "https://api.example/shop".to_owned(),
        issuer: "main".to_owned(),
    }
}

fn routes(document: &Value) -> Vec<Document> {
    made_of(document, &placed("/shop")).0.into_iter().filter(|one| one.kind == "Route").collect()
}

/// The rules of the findings, for a document with one change.
fn rules(change: impl FnOnce(&mut Value)) -> Vec<(Level, &'static str)> {
    let mut document = shop("1");
    change(&mut document);
    made_of(&document, &placed("/")).1.iter().map(|finding| (finding.level, finding.rule)).collect()
}

#[test]
fn a_good_document_has_no_findings() {
    assert_eq!(rules(|_| {}), []);
}

#[test]
fn each_fault_is_told_by_its_rule() {
    use Level::{Error, Note, Warning};
    let check = |rule: (Level, &'static str), change: fn(&mut Value)| {
        let found = rules(change);
        assert!(found.contains(&rule), "{rule:?} is not in {found:?}");
        assert!(found.len() <= 4, "{rule:?}: {found:?}");
    };
    fn get(document: &mut Value, key: &str, value: Value) {
        document["paths"]["/orders"]["get"][key] = value;
    }

    check((Warning, "info-description"), |doc| doc["info"]["description"] = json!(" "));
    check((Warning, "operation-id"), |doc| {
        doc["paths"]["/orders"]["get"].as_object_mut().unwrap().shift_remove("operationId");
    });
    check((Warning, "operation-id-unique"), |doc| get(doc, "operationId", json!("health")));
    check((Warning, "operation-description"), |doc| get(doc, "summary", json!("")));
    check((Warning, "success-response"), |doc| get(doc, "responses", json!({"404": {"description": "none"}})));
    check((Warning, "path-parameter"), |doc| doc["paths"]["/orders/{id}"]["get"]["parameters"] = json!([]));
    check((Warning, "server-variables"), |doc| doc["servers"][0]["variables"] = json!({"a": {"default": "b"}}));
    check((Warning, "own-servers"), |doc| get(doc, "servers", json!([{"url": "https://other"}])));
    check((Note, "callbacks"), |doc| get(doc, "callbacks", json!({"a": {}})));
    check((Note, "webhooks"), |doc| doc["webhooks"] = json!({"made": {"post": {}}}));
    check((Warning, "ref-outside"), move |doc| {
        get(doc, "requestBody", json!({"$ref": "https://evil.example/a.json#/b"}))
    });
    check((Warning, "ref-outside"), |doc| get(doc, "requestBody", json!({"$ref": "file:///etc/passwd"})));
    check((Warning, "ref-broken"), |doc| get(doc, "requestBody", json!({"$ref": "#/components/nothing"})));
    check((Warning, "security-optional"), |doc| get(doc, "security", json!([{"login": ["shop.read"]}, {}])));
    check((Warning, "security-scheme"), |doc| get(doc, "security", json!([{"nobody": []}])));
    check((Warning, "security"), |doc| {
        doc.as_object_mut().unwrap().shift_remove("security");
    });
    check((Error, "path-partial-segment"), |doc| doc["paths"]["/a/{b}.json"] = doc["paths"]["/health"].take());
    check((Error, "path"), |doc| doc["paths"]["/a//b"] = doc["paths"]["/health"].take());
    check((Error, "path"), |doc| doc["paths"]["/a/../b"] = doc["paths"]["/health"].take());
    check((Error, "method"), |doc| {
        doc["paths"]["/orders"]["trace"] = json!({"operationId": "t", "summary": "t", "responses": {"200": {}}})
    });
    check((Error, "path-ambiguous"), |doc| doc["paths"]["/orders/{other}"] = doc["paths"]["/orders/{id}"].clone());
    check((Error, "operations"), |doc| doc["paths"] = json!({}));
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let check = |text: &str, reason: &str| {
        let refused = read(text).unwrap_err().to_string();
        assert!(refused.contains(reason), "`{refused}` does not say `{reason}`");
    };

    check("{\"swagger\": \"2.0\"}", "Swagger 2.0");
    check("openapi: 4.0.0\ninfo: {title: a, version: '1'}\n", "3.0 and 3.1");
    check("openapi: 3.1.0\ninfo: {version: '1'}\n", "is missing");
    check("{\"openapi\": ", "not JSON");
    check("openapi: [\n", "not YAML");
    check("a: 1\n---\nb: 2\n", "2 documents");
    check(&format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200)), "");
    check(&format!("a: {}1{}\n", "[".repeat(5_000), "]".repeat(5_000)), "");
    check(&" ".repeat((4 << 20) + 1), "larger");
    let bomb = (0..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
        format!("{text}a{0}: &a{0} [*a{at}, *a{at}, *a{at}, *a{at}, *a{at}, *a{at}, *a{at}, *a{at}]\n", at + 1)
    });
    check(&bomb, "");
}

#[test]
fn yaml_with_numbers_for_statuses_is_read() {
    let text = "
openapi: 3.0.3
info: {title: Notes, version: 1.0.0}
paths:
  /notes/{id}:
    get:
      operationId: note
      responses:
        200: {description: ok}
        '404': {description: none}
";
    let document = read(text).unwrap();

    assert_eq!(document["info"]["version"], "1.0.0");
    assert!(document["paths"]["/notes/{id}"]["get"]["responses"].get("200").is_some());
}

#[test]
fn references_in_a_circle_end() {
    let document = json!({"components": {"schemas": {"a": {"$ref": "#/components/schemas/b"}, "b": {"$ref": "#/components/schemas/a"}}}});
    let openapi = OpenApi { root: &document };

    assert!(openapi.resolve(&json!({"$ref": "#/components/schemas/a"})).is_none());
    assert_eq!(openapi.resolve(&json!({"$ref": "#/components/schemas"})), document.pointer("/components/schemas"));
    assert!(openapi.resolve(&json!({"$ref": "https://evil.example/"})).is_none());
}

#[test]
fn security_becomes_what_the_gateway_asks_for() {
    let check = |security: Value, auth: Value| {
        let mut document = shop("1");
        document["components"]["securitySchemes"] = json!({
            "login": {"type": "oauth2"}, "oidc": {"type": "openIdConnect"}, "bearer": {"type": "http", "scheme": "Bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x"}, "basic": {"type": "http", "scheme": "basic"},
        });
        document["paths"]["/health"]["get"]["security"] = security.clone();
        let routes = routes(&document);
        let route = routes.iter().find(|one| one.name == "shop.health").unwrap();
        assert_eq!(route.spec["auth"], auth, "{security}");
    };
    let token = |rest: Value| {
        let mut auth = json!({"issuer": "main"});
        auth.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        auth
    };

    check(json!([]), json!("none"));
    check(json!([{"login": ["a", "b"]}]), token(json!({"scopes": ["a", "b"]})));
    check(json!([{"login": ["a"], "oidc": ["b"]}]), token(json!({"scopes": ["a", "b"]})));
    check(json!([{"login": ["a"]}, {"oidc": ["b"]}]), token(json!({"anyScope": ["a", "b"]})));
    check(json!([{"login": ["a"]}, {"key": []}]), token(json!({"scopes": ["a"]})));
    check(json!([{"bearer": []}]), token(json!({})));
    check(json!([{"key": []}]), token(json!({})));
    check(json!([{"basic": []}]), token(json!({})));
    check(json!([{}]), token(json!({})));
    check(json!([{"login": ["a"]}, {}]), token(json!({"scopes": ["a"]})));
    check(json!([{"login": ["a", "b"]}, {"login": ["c"]}]), token(json!({"scopes": ["a", "b", "c"]})));
    check(json!("nonsense"), token(json!({})));
}

#[test]
fn names_are_names_that_gateways_take() {
    let mut document = shop("1");
    document["paths"]["/orders"]["get"]["operationId"] =
        json!("List all orders (v2) with a name that is much too long for a resource");
    document["paths"]["/orders"]["post"].as_object_mut().unwrap().shift_remove("operationId");
    document["paths"]["/orders/{id}"] = json!({"get": {"operationId": "a/b"}, "put": {"operationId": "a-b"}});
    document["paths"]["/users/{user id}/{user.id}"] = json!({"get": {"operationId": "odd"}});

    let routes = routes(&document);

    let mut names: Vec<&str> = routes.iter().map(|one| one.name.as_str()).collect();
    assert!(
        names
            .iter()
            .all(|name| name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))),
        "{names:?}"
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), routes.len(), "each has its own");
    assert!(names.contains(&"shop.post-orders"));
    let odd = routes.iter().find(|one| one.spec["operation"] == "odd").unwrap();
    assert_eq!(odd.spec["match"]["path"], "/shop/users/{user_id}/{user_id_}");
}

#[test]
fn an_api_at_the_root_needs_no_rewriting() {
    let (documents, _) = made_of(&shop("1"), &placed("/"));

    let route = documents.iter().find(|one| one.name == "shop.getOrder").unwrap();
    assert_eq!(route.spec["match"]["path"], "/orders/{id}");
    assert!(route.spec.get("rewrite").is_none());
}

#[test]
fn an_api_without_a_document_gets_a_sketch() {
    use crate::registry::{Draft, Revision, read_spec};
    let (spec, _) = read_spec("own", &json!({"title": "Own", "version": "1"})).unwrap();
    let mut draft = Draft::new(spec);
    draft.resources.push(Document {
        kind: "Composition".to_owned(),
        name: "view".to_owned(),
        spec: json!({
            "match": {"path": "/own/{rest...}", "methods": ["GET", "POST"]},
            "auth": {"issuer": "main", "scopes": ["x"]}, "api": "own",
            "steps": [{"name": "a", "identity": "none"}, {"name": "b", "identity": {"exchange": {"scopes": ["y", "x"]}}}],
        }),
    });
    let revision = Revision {
        api: "own".to_owned(),
        revision: 1,
        at: base::Time::from_ms(0),
        actor: "a".to_owned(),
        note: String::new(),
        draft,
    };
    let db = tokio::runtime::Runtime::new().unwrap().block_on(testkit::db::sqlite(crate::MIGRATIONS));

    let document = document_for_consumers(&crate::tests::config(&db), &revision);

    let operation = &document["paths"]["/own/{rest}"]["post"];
    assert_eq!(operation["operationId"], "view-post");
    assert_eq!(operation["security"], json!([{"cardea": ["x", "y"]}]), "also what a step exchanges the token for");
    assert_eq!(operation["parameters"][0]["name"], "rest");
    read(&document.to_string()).unwrap();
}

#[test]
fn differences_have_places() {
    let document = |spec: Value| vec![Document { kind: "Route".to_owned(), name: "a".to_owned(), spec }];

    let found =
        differences(&document(json!({"a": {"b/c": 1}, "gone": 1})), &document(json!({"a": {"b/c": 2}, "new": [1]})));

    let places: Vec<(&str, &str)> = found.iter().map(|one| (one.pointer.as_str(), one.change)).collect();
    assert_eq!(places, [("/a/b~1c", "modify"), ("/gone", "modify"), ("/new", "modify")]);
    assert_eq!(differences(&[], &document(json!({})))[0].change, "add");
    assert_eq!(differences(&document(json!({})), &[])[0].change, "remove");
}

/// A page of a kilobyte must not cost a processor: whoever imports would stop everybody else.
#[test]
fn documents_that_are_made_to_be_endless_are_read_in_no_time() {
    let began = base::time::Stopwatch::start();
    let wide: serde_json::Map<String, Value> =
        (0..60).map(|at| (format!("p{at}"), json!({"$ref": "#/components/schemas/Wide"}))).collect();
    let document = |description: &str| {
        json!({
            "openapi": "3.1.0", "info": {"title": "Wide", "version": "1", "description": description},
            "paths": {"/wide": {"post": {
                "operationId": "wide", "security": [],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wide"}}}},
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/All"}}}}},
            }}},
            "components": {"schemas": {
                "Wide": {"type": "object", "description": description, "properties": wide},
                "All": {"allOf": [{"$ref": "#/components/schemas/All"}, {"$ref": "#/components/schemas/All"}, {"$ref": "#/components/schemas/Wide"}]},
            }},
        })
    };

    let noticed = super::super::breaking(&document("one"), &document("two"));

    assert_eq!(
        noticed.iter().map(|one| one.rule).collect::<Vec<_>>(),
        ["not_compared"],
        "what was not looked at is said"
    );

    // The same name two thousand times, and a key that would stand in a hundred thousand pointers.
    let mut paths = serde_json::Map::new();
    for at in 0..2_000 {
        paths.insert(format!("/{}", "/".repeat(at)), json!({"get": {"responses": {}}}));
    }
    let long = "k".repeat(1 << 20);
    let root = json!({"openapi": "3.1.0", "info": {"title": "Long", "version": "1"}, "paths": paths,
        "x-long": {long: vec![json!({"$ref": "elsewhere"}); 100_000]}});
    let names = super::super::openapi::names(OpenApi { root: &root });
    assert_eq!(names.len(), 2_000);
    assert_eq!(names.iter().map(|(name, _)| name).collect::<std::collections::HashSet<_>>().len(), 2_000);
    assert!(super::super::lint::lint(OpenApi { root: &root }).len() < 10_000);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}
