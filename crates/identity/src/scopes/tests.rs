use super::*;
use crate::clients::ClientSpec;

const ORDERS: &str = "https://orders.internal";
const STOCK: &str = "https://stock.internal";

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (name, audience) in [("orders_read", Some(ORDERS)), ("stock_read", Some(STOCK)), ("everywhere", None)] {
        let spec = ScopeSpec {
            name: name.to_owned(),
            description: String::new(),
            audience: audience.map(str::to_owned),
            claims: BTreeMap::new(),
        };
        catalog.scopes.insert(name.to_owned(), spec);
    }
    catalog
}

fn client(scopes: &str, audiences: &[&str]) -> Client {
    let spec = ClientSpec {
        scopes: Scopes::parse(scopes).unwrap(),
        audiences: audiences.iter().copied().collect(),
        ..ClientSpec::named("shop")
    };
    Client { client_id: spec.client_id.clone(), spec, epoch: 0, disabled_at: None }
}

/// What a client with all scopes gets for a request: scopes and audiences, or the error.
fn check(requested: Option<&str>, resources: &[&str], expected: Result<(&str, &[&str]), &str>) {
    let client = client("openid orders_read stock_read everywhere retired", &["https://plain.internal"]);
    let requested = requested.map(|text| Scopes::parse(text).unwrap());
    let resources: Vec<String> = resources.iter().map(|resource| (*resource).to_owned()).collect();

    let resolved = resolve_in(&catalog(), &client, requested.as_ref(), &resources);

    let resolved = resolved.map(|it| (it.scopes.to_string(), it.audiences)).map_err(|error| error.code);
    let expected = expected.map(|(scopes, audiences)| (scopes.to_owned(), audiences.iter().copied().collect()));
    assert_eq!(resolved, expected, "{requested:?} {resources:?}");
}

#[test]
fn audiences_follow_from_scopes_or_resources() {
    check(Some("orders_read"), &[], Ok(("orders_read", &[ORDERS])));
    check(Some("orders_read stock_read"), &[], Ok(("orders_read stock_read", &[ORDERS, STOCK])));
    check(Some("openid"), &[], Ok(("openid", &[ORDERS, STOCK, "https://plain.internal"])));
    check(Some("everywhere"), &[ORDERS], Ok(("everywhere", &[ORDERS])));
    check(Some("openid orders_read"), &[ORDERS], Ok(("openid orders_read", &[ORDERS])));
    check(None, &[STOCK], Ok(("everywhere openid stock_read", &[STOCK])));
    check(None, &[], Ok(("everywhere openid orders_read stock_read", &[ORDERS, STOCK])));
}

#[test]
fn what_a_client_may_not_have_is_refused_and_not_dropped() {
    check(Some("orders_read unknown"), &[], Err("invalid_scope"));
    check(Some("email"), &[], Err("invalid_scope"));
    // The client has it, but nobody declares it any more.
    check(Some("retired"), &[], Err("invalid_scope"));
    check(Some("orders_read"), &[STOCK], Err("invalid_scope"));
    check(Some("orders_read"), &["https://other.internal"], Err("invalid_target"));
    check(None, &["https://other.internal"], Err("invalid_target"));
}

#[test]
fn an_audience_gets_its_own_scopes_only() {
    let scopes = Scopes::parse("openid email orders_read stock_read everywhere unknown").unwrap();

    assert_eq!(catalog().scopes_for(&scopes, ORDERS).to_string(), "everywhere orders_read");
}

#[test]
fn sets_of_audiences_have_one_text() {
    let audiences: Audiences = serde_json::from_value(serde_json::json!(["b", "a", "b"])).unwrap();

    assert_eq!((audiences.to_string().as_str(), Audiences::parse("b  a")), ("a b", audiences.clone()));
    assert!(serde_json::from_value::<Audiences>(serde_json::json!(["a b"])).is_err());
}
