//! At least two of everything that an operation lists, and the addresses of what it shows.

use std::time::Duration;

use catalog::usage::Outcome;

use super::*;
use crate::billing::Month;
use crate::usage::tests::{batch, record};

async fn made(p: &Platform, method: Method, path: &str, body: Value) -> Value {
    let answer = p.operate(method, &format!("/management/v1{path}"), Some(&body)).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    answer.body
}

/// An API with plans, subscribed to by `acme`, called, and billed for two months.
pub(super) async fn furnished(p: &Platform) -> impl Fn(&str) -> String + use<> {
    let document = "openapi: 3.1.0\ninfo: {title: Sample, version: '1'}\npaths:\n  /things:\n    get: {operationId: listThings, \
        responses: {'200': {description: All}}}\n    post: {operationId: makeThing, responses: {'201': {description: Made}}}\n";
    let import = json!({"document": document, "name": "sample", "upstream": "http://127.0.0.1:1", "publish": true});
    made(p, Method::POST, "/import", import).await;
    made(p, Method::POST, "/apis", sample("second")).await;
    made(p, Method::PUT, "/apis/second", json!({"spec": {"title": "Second", "version": "2"}})).await;
    made(p, Method::POST, "/apis/sample/rollback", json!({"revision": 1})).await;
    let other = json!({"spec": {"title": "Sample, again", "version": "1"}});
    made(p, Method::PUT, "/apis/sample", other).await;
    made(p, Method::POST, "/apis/sample/publish", json!({})).await;
    let price = json!({"currency": "EUR", "monthly": "9", "tiers": [{"unit": "0.01"}]});
    let free = |title: &str| {
        let quota = json!({"requests": 10, "per": "day"});
        json!({"spec": {"title": title, "apis": ["sample"], "quota": quota, "price": price}})
    };
    made(p, Method::PUT, "/plans/free", free("Free")).await;
    made(p, Method::PUT, "/plans/free", free("Gratis")).await;
    made(p, Method::PUT, "/plans/other", json!({"spec": {"title": "Other", "apis": ["second"]}})).await;

    let mut cx = Cx::system(&p.management);
    let mut applications = Vec::new();
    for name in ["App", "Bpp"] {
        let wanted = serde_json::from_value(json!({"name": name, "kind": "service"})).unwrap();
        applications.push(crate::applications::create(&mut cx, "acme", &wanted).await.unwrap().id);
    }
    let mut subscriptions = Vec::new();
    for (application, client) in [("app-1", "client-1"), ("app-2", "client-2")] {
        let wanted = crate::subscriptions::Wanted {
            organisation: "acme".to_owned(),
            application: application.to_owned(),
            client: Some(client.to_owned()),
            plan: "free".to_owned(),
            note: None,
        };
        subscriptions.push(crate::subscriptions::request(&mut cx, wanted).await.unwrap().id);
    }
    cx.commit().await.unwrap();

    let mut invoice = Value::Null;
    for month in 0_u64..2 {
        let now = p.clock.shared().now();
        for (gateway, caller) in [("g1", "edge-1"), ("g2", "edge-2")] {
            let records = subscriptions.iter().zip(["client-1", "client-2"]).flat_map(|(subscription, client)| {
                ["a", "b"].map(|which| catalog::usage::UsageRecord {
                    client: Some(client.to_owned()),
                    ..record(&format!("r{gateway}{month}{client}{which}"), now, Some(subscription), Outcome::Served)
                })
            });
            let sent = serde_json::to_value(batch(gateway, 1 + month * 4, records.collect())).unwrap();
            let answer = p.gateway(caller, Method::POST, "/gateway/v1/usage", Some(&sent)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        let this = Month::of(now);
        p.clock.advance(this.end().since(now) + Duration::from_secs(60));
        let issued = made(p, Method::POST, "/organisations/acme/invoices", json!({"month": this.to_string()})).await;
        invoice = issued["items"][0].clone();
    }
    let line = invoice["lines"].as_array().unwrap().iter().position(|line| line["kind"] == "usage").unwrap() + 1;
    for _ in 0..2 {
        made(p, Method::POST, "/organisations/acme/invitations", json!({"role": "developer"})).await;
    }

    move |path: &str| {
        let path = path.replace("{organisation}", "acme").replace("{api}", "sample").replace("{plan}", "free");
        let path = path
            .replace("{subscription}", &subscriptions[0])
            .replace("{revision}", "1")
            .replace("{person}", "own")
            .replace("{invoice}", invoice["id"].as_str().unwrap())
            .replace("{line}", &line.to_string())
            .replace("{request_id}", "rg10client-1a")
            .replace("{application}", &applications[0]);
        path.replace('{', "no-").replace('}', "")
    }
}
