use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::scopes::ScopeSpec;

fn catalog(contracts: &[(&str, &[(&str, &str)])]) -> Catalog {
    let mut catalog = Catalog::default();
    for (name, claims) in contracts {
        let source = |text: &str| serde_json::from_value(json!(text)).unwrap();
        let claims: BTreeMap<_, _> = claims.iter().map(|(claim, text)| ((*claim).to_owned(), source(text))).collect();
        let spec = ScopeSpec { name: (*name).to_owned(), description: String::new(), audience: None, claims };
        catalog.scopes.insert((*name).to_owned(), spec);
    }
    catalog
}

fn person(spec: Value) -> Person {
    Person { user_id: "u".into(), username: "alice".to_owned(), spec }
}

#[test]
fn a_contract_is_kept_whole_or_not_at_all() {
    let catalog = catalog(&[("both", &[("a", "user.a"), ("b", "user.b")]), ("one", &[("a", "user.a")])]);
    let alice = person(json!({"attributes": {"a": 1}}));
    let scopes = Scopes::parse("both one free").unwrap();

    let result = contracted(&catalog, Some(&alice), &ClientSpec::named("c"), &scopes);

    assert_eq!((result.scopes.to_string().as_str(), result.missing.to_string().as_str()), ("free one", "both"));
    assert_eq!(Value::Object(result.claims), json!({"a": 1}));
}

#[test]
fn null_and_empty_are_missing_but_false_and_zero_are_not() {
    let catalog = catalog(&[("s", &[("a", "user.a")])]);
    let scopes = Scopes::parse("s").unwrap();
    for (value, kept) in
        [(json!(null), false), (json!(""), false), (json!(false), true), (json!(0), true), (json!([]), true)]
    {
        let alice = person(json!({"attributes": {"a": value}}));

        let result = contracted(&catalog, Some(&alice), &ClientSpec::named("c"), &scopes);

        assert_eq!(!result.scopes.is_empty(), kept, "{value}");
    }
}

#[test]
fn a_client_has_attributes_of_its_own_and_none_of_a_user() {
    let catalog = catalog(&[("s", &[("tenant", "client.tenant")]), ("u", &[("a", "user.a")])]);
    let mut client = ClientSpec::named("c");
    client.attributes.insert("tenant".to_owned(), json!("blue"));
    client.attributes.insert("a".to_owned(), json!("not this one"));
    let scopes = Scopes::parse("s u").unwrap();

    let result = contracted(&catalog, None, &client, &scopes);

    assert_eq!((result.scopes.to_string().as_str(), Value::Object(result.claims)), ("s", json!({"tenant": "blue"})));
}

#[test]
fn a_source_is_an_attribute_of_somebody() {
    for wrong in ["account_nr", "user.", "admin.x", ""] {
        assert!(serde_json::from_value::<Source>(json!(wrong)).is_err(), "{wrong}");
    }
    let source: Source = serde_json::from_value(json!("user.a.b")).unwrap();
    assert_eq!(serde_json::to_value(source).unwrap(), json!("user.a.b"));
}

fn value(sources: Value, person: Option<Value>, client: Value) -> Option<Value> {
    let sources: Sources = serde_json::from_value(sources).unwrap();
    let person = person.map(|attributes| Person {
        user_id: "u".into(),
        username: "u".to_owned(),
        spec: json!({"attributes": attributes}),
    });
    let client = serde_json::from_value(json!({"clientId": "c", "attributes": client})).unwrap();
    sources.value(person.as_ref(), &client).cloned()
}

#[test]
fn a_person_takes_the_persons_and_a_client_by_itself_the_clients() {
    let both = json!(["user.nr", "client.nr"]);

    assert_eq!(value(both.clone(), Some(json!({"nr": "1"})), json!({"nr": "2"})), Some(json!("1")));
    assert_eq!(value(both, None, json!({"nr": "2"})), Some(json!("2")));
}

#[test]
fn what_a_person_lacks_is_not_filled_in_from_the_client() {
    assert_eq!(value(json!(["user.nr", "client.nr"]), Some(json!({})), json!({"nr": "2"})), None);
    assert_eq!(value(json!(["client.nr", "user.nr"]), Some(json!({})), json!({"nr": "2"})), None);
}

#[test]
fn of_several_the_first_that_has_a_value_counts() {
    let several = json!(["user.a", "user.b"]);

    assert_eq!(value(several.clone(), Some(json!({"a": "", "b": "2"})), json!({})), Some(json!("2")));
    assert_eq!(value(several, Some(json!({"a": "1", "b": "2"})), json!({})), Some(json!("1")));
}

#[test]
fn one_source_is_written_as_it_was() {
    for text in [json!("user.a"), json!(["user.a", "client.a"])] {
        let sources: Sources = serde_json::from_value(text.clone()).unwrap();

        assert_eq!(serde_json::to_value(&sources).unwrap(), text);
    }
    for wrong in [json!([]), json!("a"), json!(["user."]), json!({"user": "a"})] {
        assert!(serde_json::from_value::<Sources>(wrong.clone()).is_err(), "{wrong}");
    }
}
