//! Which part of the product a resource is for. APIs, plans and what serves an API are management's where there is
//! one; what stands at a gateway already stays there.

use std::collections::BTreeSet;

use catalog::Resource;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    Identity,
    Management,
    Gateway,
}

/// What is known of the servers: kinds and names.
#[derive(Debug, Default)]
pub struct Known {
    /// A gateway's own.
    pub at_gateway: BTreeSet<(String, String)>,
    /// APIs of management, if there is one.
    pub apis: Option<BTreeSet<String>>,
}

/// A destination for each resource of the set.
pub fn destinations(resources: &[Resource], known: &Known) -> Vec<Destination> {
    let held = |one: &Resource| known.at_gateway.contains(&(one.kind.clone(), one.name.clone()));
    let Some(apis) = &known.apis else {
        return resources
            .iter()
            .map(|one| if one.is_for_gateway() { Destination::Gateway } else { Destination::Identity })
            .collect();
    };
    let text = |one: &Resource, key: &str| one.spec.get(key).and_then(Value::as_str).map(str::to_owned);
    let new = resources.iter().filter(|one| one.kind == "Api" && !held(one)).map(|one| one.name.clone());
    let apis: BTreeSet<String> = apis.iter().cloned().chain(new).collect();
    let of_api = |one: &Resource| !held(one) && text(one, "api").is_some_and(|api| apis.contains(&api));
    let services: Vec<&Resource> = resources.iter().filter(|one| one.kind == "Service" && of_api(one)).collect();
    let served = |one: &Resource| services.iter().any(|service| Some(&service.name) == text(one, "service").as_ref());
    let used = |one: &Resource| services.iter().any(|service| text(service, "upstream").as_ref() == Some(&one.name));
    resources
        .iter()
        .map(|one| match one.kind.as_str() {
            _ if !one.is_for_gateway() => Destination::Identity,
            _ if held(one) => Destination::Gateway,
            "Api" | "Plan" => Destination::Management,
            "Service" | "Composition" if of_api(one) => Destination::Management,
            "Route" if served(one) => Destination::Management,
            "Upstream" if used(one) => Destination::Management,
            _ => Destination::Gateway,
        })
        .collect()
}

/// An API of compositions that comes without a document gets the one that they make. Where they cannot be compiled
/// here, since something stands elsewhere, there is none.
pub fn describe(resources: &mut [Resource], destinations: &[Destination], own: &[Resource]) {
    let mut all: Vec<Resource> = resources.iter().filter(|one| one.is_for_gateway()).cloned().collect();
    let more = own.iter().filter(|one| !all.iter().any(|known| known.kind == one.kind && known.name == one.name));
    let more: Vec<Resource> = more.cloned().collect();
    all.extend(more);
    let Ok(snapshot) = catalog::Snapshot::compile(&all) else { return };
    for (api, place) in resources.iter_mut().zip(destinations) {
        if api.kind != "Api" || *place != Destination::Management || api.spec.get("openapi").is_some() {
            continue;
        }
        let of_api = |one: &&Resource| {
            one.kind == "Composition" && one.spec.get("api").and_then(Value::as_str) == Some(api.name.as_str())
        };
        let compiled: Vec<integration::Composition> = all
            .iter()
            .filter(of_api)
            .filter_map(|one| integration::Composition::compile(one, &snapshot).ok())
            .collect();
        if compiled.is_empty() {
            continue;
        }
        let title = api.spec.get("title").and_then(Value::as_str).unwrap_or(&api.name);
        let mut document = integration::openapi(title, "/", &compiled);
        name_operations(&mut document, &all);
        if let Some(spec) = api.spec.as_object_mut() {
            spec.insert("openapi".to_owned(), document);
        }
    }
}

/// By the names that plans, policies and usage know them by.
fn name_operations(document: &mut Value, resources: &[Resource]) {
    let compositions = || resources.iter().filter(|one| one.kind == "Composition");
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, item) in paths {
        let item = item.as_object_mut();
        let single = item.as_ref().is_some_and(|item| item.len() == 1);
        for (method, operation) in item.into_iter().flatten().filter(|_| single) {
            let Some(id) = operation.get("operationId").and_then(Value::as_str) else { continue };
            let own = compositions().find(|one| format!("{}-{method}", one.name) == id);
            let name = own.map(|one| one.spec.get("operation").and_then(Value::as_str).unwrap_or(&one.name).to_owned());
            if let (Some(name), Some(operation)) = (name, operation.as_object_mut()) {
                operation.insert("operationId".to_owned(), name.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "
kind: Client
name: app
spec: {}
---
kind: Upstream
name: u
spec: {endpoints: ['http://127.0.0.1:1']}
---
kind: Api
name: orders
spec: {title: Orders, version: '1'}
---
kind: Service
name: s
spec: {upstream: u, api: orders}
---
kind: Route
name: r
spec: {service: s, match: {path: /a}, auth: none, subscription: none}
---
kind: Service
name: own
spec: {upstream: u}
---
kind: Issuer
name: main
spec: {}
";

    fn places(known: &Known) -> String {
        let resources = catalog::parse("set.yaml", SET).unwrap();
        destinations(&resources, known)
            .iter()
            .map(|place| match place {
                Destination::Identity => 'I',
                Destination::Management => 'M',
                Destination::Gateway => 'G',
            })
            .collect()
    }

    #[test]
    fn an_api_and_what_serves_it_go_to_management() {
        assert_eq!(places(&Known { apis: Some(BTreeSet::new()), ..Known::default() }), "IMMMMGG");
    }

    #[test]
    fn an_api_of_compositions_gets_the_document_that_they_make() {
        let set = "
kind: Issuer
name: main
spec: {issuer: 'https://id.example', introspection: {as: g, secret: 'file:s'}}
---
kind: Api
name: view
spec: {title: View, version: '2'}
---
kind: Composition
name: hello
spec: {match: {path: '/hello/{name}', methods: [GET]}, auth: {issuer: main, scopes: [hello]}, api: view, operation: sayHello, audience: 'https://a', output: {body: {hi: true}}}
";
        let mut resources = catalog::parse("set.yaml", set).unwrap();
        let known = Known { apis: Some(BTreeSet::new()), ..Known::default() };
        let places = destinations(&resources, &known);

        describe(&mut resources, &places, &[]);

        let document = &resources[1].spec["openapi"];
        assert_eq!(document["paths"]["/hello/{name}"]["get"]["operationId"], "sayHello", "{document}");
    }

    #[test]
    fn without_management_the_gateway_takes_them() {
        assert_eq!(places(&Known::default()), "IGGGGGG");
    }

    #[test]
    fn what_a_gateway_has_stays_there() {
        let at_gateway = [("Api", "orders"), ("Service", "s")].map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        assert_eq!(places(&Known { at_gateway: at_gateway.into(), apis: Some(BTreeSet::new()) }), "IGGGGGG");
    }
}
