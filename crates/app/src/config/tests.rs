use super::*;

const GOOD: &str = "\
data: ./data
roles: [identity, gateway]
identity:
  issuer: http://localhost:8081
  listen: 127.0.0.1:8081
  database: { postgres: env:DATABASE_URL, schema: identity }
  masterKey: file:master.key
  lifetimes: { accessToken: 15m }
gateway:
  listen:
    - address: 127.0.0.1:8080
      tls: { certificates: [{ certificate: cert.pem, key: file:key.pem }] }
  publicUrl: http://localhost:8080
  resources: ./resources
ops: { listen: 127.0.0.1:8084, adminToken: file:admin.token }
";

fn refused(text: &str) -> String {
    File::parse(Path::new("/etc/cardea/cardea.yaml"), text).unwrap_err().to_string()
}

#[test]
fn paths_are_seen_from_the_folder_of_the_file() {
    let file = File::parse(Path::new("/etc/cardea/cardea.yaml"), GOOD).unwrap();

    assert_eq!(file.data, Path::new("/etc/cardea/./data"));
    assert_eq!(file.ops.admin_token, Reference::File("/etc/cardea/admin.token".into()));
    assert!(
        matches!(file.identity.unwrap().database, Database::Postgres(postgres) if postgres.schema.as_deref() == Some("identity"))
    );
}

const ENTITLEMENT: &str = "\
entitlement:
  url: http://localhost:8083
  listen: 127.0.0.1:8083
  callers: [{ name: gateway, secret: file:gateway.secret, rights: [evaluate, snapshot] }]
  source: { url: 'https://hr.example/attributes', types: [User], bearer: file:hr.token }
ops: { listen: 127.0.0.1:8084, adminToken: file:admin.token }
";

#[test]
fn without_roles_those_with_a_section_run() {
    let path = Path::new("/etc/cardea/cardea.yaml");
    let file = File::parse(path, ENTITLEMENT).unwrap();

    assert_eq!(file.roles(&[]), [Role::Entitlement]);
    assert_eq!(file.roles(&[Role::Gateway]), [Role::Gateway], "asked for without a section: serving says so");
    assert_eq!(File::parse(path, GOOD).unwrap().roles(&[]), [Role::Identity, Role::Gateway]);
    let entitlement = file.entitlement.unwrap();
    assert_eq!(entitlement.callers[0].secret, Reference::File("/etc/cardea/gateway.secret".into()));
    assert_eq!(entitlement.source.unwrap().bearer, Some(Reference::File("/etc/cardea/hr.token".into())));
}

#[test]
fn a_gateway_of_a_management_says_where_it_is_and_how_usage_is_kept() {
    let path = Path::new("/etc/cardea/cardea.yaml");
    let with = |usage: &str, url: &str| {
        let key =
            format!("  management: {{ url: '{url}', token: file:edge.token }}\n  usage: {{ {usage} }}\n  resources:");
        GOOD.replace("  resources:", &key)
    };

    let gateway = File::parse(path, &with("onFailure: serve", "https://portal.example.com")).unwrap().gateway.unwrap();
    assert_eq!(gateway.usage.on_failure, OnFailure::Serve);
    assert_eq!(gateway.management.unwrap().token, Reference::File("/etc/cardea/edge.token".into()));
    for (usage, url) in [
        ("", "https://portal.example.com/"),
        ("", "portal.example.com"),
        ("maxBytes: 1000", "https://portal.example.com"),
        ("syncInterval: 1ms", "https://portal.example.com"),
        ("onFailure: maybe", "https://portal.example.com"),
    ] {
        assert!(File::parse(path, &with(usage, url)).is_err(), "{usage} {url}");
    }
}

#[test]
fn an_entitlement_system_that_cannot_be_meant_is_refused() {
    for (from, to, expected) in [
        ("http://localhost:8083", "http://localhost:8083/pdp", "`entitlement.url`"),
        ("http://localhost:8083", "http://localhost:8083/", "`entitlement.url`"),
        ("callers: [", "callers: [{ name: gateway, secret: env:B, rights: [evaluate] }, ", "two callers"),
        ("rights: [evaluate, snapshot]", "rights: []", "no rights"),
        ("types: [User]", "types: []", "`entitlement.source.types`"),
        ("https://hr.example", "ftp://hr.example", "`entitlement.source.url`"),
    ] {
        let fault = refused(&ENTITLEMENT.replace(from, to));
        assert!(fault.contains(expected), "{to}: {fault}");
    }
}

const MANAGEMENT: &str = "\
management:
  url: http://localhost:8082
  listen: 127.0.0.1:8082
  masterKey: file:master.key
  issuer: http://localhost:8081
  clientId: portal
  clientSecret: file:portal.secret
  gatewayUrl: http://localhost:8080
  gateways: [{ name: edge-1, token: file:edge-1.token }]
ops: { listen: 127.0.0.1:8084, adminToken: file:admin.token }
";

#[test]
fn the_management_section_is_read_and_its_mistakes_are_named() {
    let file = File::parse(Path::new("/etc/cardea/cardea.yaml"), MANAGEMENT).unwrap();
    assert_eq!(file.roles(&[]), [Role::Management]);
    let management = file.management.unwrap();
    assert_eq!(management.gateways[0].token, Reference::File("/etc/cardea/edge-1.token".into()));
    assert!(management.registration.client_credentials.is_none());

    let edge = "name: edge-1, token: file:edge-1.token";
    for (from, to, expected) in [
        ("url: http://localhost:8082", "url: http://localhost:8082/portal", "`management.url`"),
        ("gatewayUrl: http://localhost:8080", "gatewayUrl: localhost", "`management.gatewayUrl`"),
        (edge, "name: a, token: env:A }, { name: a, token: env:B", "names `a` twice"),
        (
            "clientId: portal",
            "clientId: portal\n  registration: { clientCredentials: false }",
            "`management.registration`",
        ),
        (
            "clientId: portal",
            "clientId: portal\n  registration: { initialAccessToken: env:A, clientCredentials: true }",
            "`management.registration`",
        ),
    ] {
        let fault = refused(&MANAGEMENT.replace(from, to));
        assert!(fault.contains(expected), "{to}: {fault}");
    }
}

#[test]
fn an_unknown_key_is_shown_with_its_place_and_the_word_meant() {
    let wrong = GOOD.replace("masterKey", "masterkey");

    assert_eq!(refused(&wrong), "/etc/cardea/cardea.yaml:7:3: unknown key `masterkey`; did you mean `masterKey`?");
}

#[test]
fn an_unknown_key_inside_the_database_is_shown_too() {
    let wrong = GOOD.replace("schema: identity", "shema: identity");

    let fault = refused(&wrong);

    assert!(fault.starts_with("/etc/cardea/cardea.yaml:6:"), "{fault}");
    assert!(fault.contains("did you mean `schema`?"), "{fault}");
}

#[test]
fn an_unknown_role_is_refused_with_the_word_meant() {
    let fault = refused(&GOOD.replace("[identity, gateway]", "[identity, gatway]"));

    assert!(fault.contains(":2:") && fault.contains("did you mean `gateway`?"), "{fault}");
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let fault = refused(&GOOD.replace("file:admin.token", "correct-horse"));

    assert!(fault.contains(":15:") && fault.contains("by reference"), "{fault}");
    assert!(!fault.contains("correct-horse"), "{fault}");
}

#[test]
fn an_issuer_with_a_trailing_slash_is_refused() {
    assert!(
        refused(&GOOD.replace("issuer: http://localhost:8081", "issuer: http://localhost:8081/")).contains("issuer")
    );
}

#[test]
fn the_published_schema_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cardea.schema.json");
    let published = std::fs::read_to_string(path).unwrap_or_default();

    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";

    assert!(published == current, "run `cardea schema config > docs/cardea.schema.json`");
}
