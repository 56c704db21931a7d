//! The registry's rules, and its rows on both databases.

mod corpus;
mod documents;

use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::actor::Role;
use crate::publish::{current, publish, withdraw};
use crate::tests::{Platform, person};
use crate::{MIGRATIONS, PROVIDER};

pub fn shop(version: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "The Shop", "version": version, "description": "Orders and more"},
        "servers": [{"url": "https://shop.internal/v1"}],
        "security": [{"login": ["shop.read"]}],
        "paths": {
            "/orders": {
                "get": {"operationId": "listOrders", "summary": "Orders", "responses": {"200": {"description": "Orders"}}},
                "post": {"operationId": "createOrder", "summary": "Order", "security": [{"login": ["shop.write"]}],
                    "responses": {"201": {"description": "Made"}}},
            },
            "/orders/{id}": {
                "get": {"operationId": "getOrder", "summary": "One", "responses": {"200": {"description": "One"}},
                    "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]},
            },
            "/health": {"get": {"operationId": "health", "summary": "Fine?", "security": [], "responses": {"200": {"description": "Yes"}}}},
        },
        "components": {"securitySchemes": {"login": {"type": "oauth2", "flows": {}}}},
    })
}

fn input(document: &Value) -> Import {
    Import { document: document.to_string(), name: Some("shop".to_owned()), ..Import::default() }
}

async fn publisher(p: &Platform) -> Cx {
    p.cx(person("pat", PROVIDER, Role::Publisher))
}

async fn imported(p: &Platform, input: &Import) -> Result<Imported, Refused> {
    let mut cx = publisher(p).await;
    let imported = import(&mut cx, input).await?;
    cx.commit().await?;
    Ok(imported)
}

/// Changes the head by hand.
async fn by_hand(p: &Platform, change: impl FnOnce(&mut Draft)) {
    let mut cx = publisher(p).await;
    let api = get(&mut cx, "shop").await.unwrap().unwrap();
    let mut draft = revision(&mut cx, "shop", api.head).await.unwrap().unwrap().draft;
    change(&mut draft);
    put(&mut cx, "shop", &draft, "by hand", Expected::Head(api.head)).await.unwrap();
    cx.commit().await.unwrap();
}

async fn head(p: &Platform) -> Draft {
    let mut cx = publisher(p).await;
    let api = get(&mut cx, "shop").await.unwrap().unwrap();
    revision(&mut cx, "shop", api.head).await.unwrap().unwrap().draft
}

fn part<'a>(draft: &'a Draft, kind: &str, name: &str) -> &'a Value {
    &draft.resources.iter().find(|one| one.kind == kind && one.name == name).unwrap().spec
}

store_test!(an_import_makes_what_gateways_need, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let made = imported(&p, &Import { publish: true, ..input(&shop("1")) }).await.unwrap();

    assert_eq!((made.revision, made.published, made.api.as_str()), (1, Some(1), "shop"));
    assert_eq!(made.scopes, ["shop.read", "shop.write"]);
    assert_eq!(made.address, "https://api.example/shop");
    let draft = head(&p).await;
    assert_eq!(part(&draft, "Upstream", "shop"), &json!({"endpoints": ["https://shop.internal"]}));
    assert_eq!(part(&draft, "Service", "shop")["pathPrefix"], "/v1");
    assert_eq!(part(&draft, "Route", "shop.health")["auth"], "none");
    let route = part(&draft, "Route", "shop.getOrder");
    assert_eq!(route["match"], json!({"path": "/shop/orders/{id}", "methods": ["GET"]}));
    assert_eq!(route["rewrite"]["path"], "/orders/{id}");
    assert_eq!(route["auth"], json!({"issuer": "main", "scopes": ["shop.read"]}));
    let snapshot = current(&mut publisher(&p).await).await.unwrap();
    let service = snapshot.published.resources.iter().find(|one| one.kind == "Service").unwrap();
    assert_eq!(service.spec["cors"]["origins"], json!(["https://portal.example"]), "Try it works without a setting");
});

store_test!(a_second_import_of_the_same_changes_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();

    let again = imported(&p, &input(&shop("1"))).await.unwrap();

    assert!(!again.changed && again.differences.is_empty() && again.conflicts.is_empty(), "{again:?}");
    assert_eq!(again.revision, 1);
});

store_test!(what_was_changed_by_hand_survives_the_next_import, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();
    by_hand(&p, |draft| {
        draft.spec.lifecycle = catalog::Lifecycle::Planned;
        let service = draft.resources.iter_mut().find(|one| one.kind == "Service").unwrap();
        service.spec["maxBody"] = json!("1MB");
        let route = draft.resources.iter_mut().find(|one| one.name == "shop.createOrder").unwrap();
        route.spec["limits"] = json!({"maxBody": "10KiB"});
        draft.resources.push(Document {
            kind: "Route".to_owned(),
            name: "own".to_owned(),
            spec: json!({"match": {"path": "/shop/own"}, "service": "shop", "auth": "none", "subscription": "none"}),
        });
    })
    .await;
    let mut next = shop("2");
    next["paths"]["/orders"]["post"]["security"] = json!([{"login": ["shop.order"]}]);
    next["paths"]["/carts"] =
        json!({"get": {"operationId": "listCarts", "responses": {"200": {"description": "All"}}}});

    let made = imported(&p, &input(&next)).await.unwrap();

    let draft = head(&p).await;
    assert!(made.conflicts.is_empty(), "{:?}", made.conflicts);
    assert_eq!((draft.spec.lifecycle, draft.spec.version.as_str()), (catalog::Lifecycle::Planned, "2"));
    assert_eq!(part(&draft, "Service", "shop")["maxBody"], "1MB");
    let route = part(&draft, "Route", "shop.createOrder");
    assert_eq!((&route["limits"]["maxBody"], &route["auth"]["scopes"]), (&json!("10KiB"), &json!(["shop.order"])));
    part(&draft, "Route", "own");
    part(&draft, "Route", "shop.listCarts");
});

store_test!(where_hand_and_document_disagree_the_hand_stays_and_is_told, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();
    by_hand(&p, |draft| {
        let route = draft.resources.iter_mut().find(|one| one.name == "shop.createOrder").unwrap();
        route.spec["auth"]["scopes"] = json!(["shop.admin"]);
        draft.resources.retain(|one| one.name != "shop.health");
    })
    .await;
    let mut next = shop("1");
    next["paths"]["/orders"]["post"]["security"] = json!([{"login": ["shop.order"]}]);

    let made = imported(&p, &input(&next)).await.unwrap();

    let draft = head(&p).await;
    assert_eq!(part(&draft, "Route", "shop.createOrder")["auth"]["scopes"], json!(["shop.admin"]));
    assert!(!draft.resources.iter().any(|one| one.name == "shop.health"), "what was taken away stays away");
    assert_eq!(
        made.conflicts,
        ["Route `shop.createOrder`: `auth.scopes` was changed by hand and in the document: it stays as it is"]
    );
});

store_test!(a_breaking_change_is_not_published_by_mistake, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &Import { publish: true, ..input(&shop("1")) }).await.unwrap();
    let mut next = shop("2");
    next["paths"].as_object_mut().unwrap().shift_remove("/orders/{id}");

    let refused = imported(&p, &Import { publish: true, ..input(&next) }).await.unwrap_err();
    let Refused::Breaking(errors) = &refused else { panic!("{refused:?}") };
    assert_eq!(errors[0].pointer, "/operations/getOrder");
    assert_eq!(head(&p).await.spec.version, "1", "nothing was changed");

    let draft = imported(&p, &input(&next)).await.unwrap();
    assert_eq!((draft.breaking.len(), draft.published), (1, Some(1)), "a draft is allowed, and told");
    let mut cx = publisher(&p).await;
    assert!(matches!(publish(&mut cx, "shop", None, false).await, Err(Refused::Breaking(_))));
    drop(cx);
    let mut cx = publisher(&p).await;
    assert_eq!(publish(&mut cx, "shop", None, true).await.unwrap().published, Some(2));
});

store_test!(a_revision_can_be_gone_back_to, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();
    imported(&p, &input(&shop("2"))).await.unwrap();

    let mut cx = publisher(&p).await;
    let api = roll_back(&mut cx, "shop", 1).await.unwrap();
    cx.commit().await.unwrap();

    let mut cx = publisher(&p).await;
    let history = revisions(&mut cx, "shop", None, 10).await.unwrap();
    assert_eq!((api.head, api.spec.version.as_str()), (3, "1"));
    assert_eq!(history.iter().map(|one| one.revision).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(history[0].draft, history[2].draft);
    assert_eq!(history[1].actor, "person:pat");
    assert!(
        differences(&history[0].draft.documents("shop"), &history[1].draft.documents("shop")).iter().any(|one| one
            .pointer
            == "/version"
            && one.before == Some(json!("1"))
            && one.after == Some(json!("2")))
    );
});

store_test!(of_two_who_change_the_same_one_is_told, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();
    let draft = head(&p).await;

    let mut tasks = Vec::new();
    for at in 0..8 {
        let mut cx = publisher(&p).await;
        let mut draft = draft.clone();
        draft.spec.title = format!("Title {at}");
        tasks.push(tokio::spawn(async move {
            put(&mut cx, "shop", &draft, "", Expected::Head(1)).await?;
            cx.commit().await?;
            Ok::<(), Refused>(())
        }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => won += 1,
            Err(Refused::Stale(_) | Refused::Store(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    assert_eq!(won, 1);
    assert_eq!(revisions(&mut publisher(&p).await, "shop", None, 10).await.unwrap().len(), 2);
});

store_test!(an_api_is_seen_by_whom_it_is_for, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for (name, visibility) in [("open", "public"), ("within", "internal"), ("hidden", "private"), ("draft", "public")] {
        let mut cx = publisher(&p).await;
        let (spec, _) = read_spec(name, &json!({"title": name, "version": "1", "visibility": visibility})).unwrap();
        put(&mut cx, name, &Draft::new(spec), "", Expected::Nothing).await.unwrap();
        if name != "draft" {
            publish(&mut cx, name, None, false).await.unwrap();
        }
        cx.commit().await.unwrap();
    }
    let seen = async |actor: Actor| {
        let (apis, _) = list(&mut p.cx(actor), &Query::default(), 10).await.unwrap();
        apis.into_iter().map(|api| api.name).collect::<Vec<_>>()
    };

    assert_eq!(seen(Actor::Nobody).await, ["open"]);
    assert_eq!(seen(person("dev", "acme", Role::Developer)).await, ["open", "within"]);
    assert_eq!(seen(person("aud", PROVIDER, Role::Auditor)).await, ["draft", "hidden", "open", "within"]);
    let mut cx = p.cx(person("dev", "acme", Role::Developer));
    assert!(get_visible(&mut cx, "hidden").await.unwrap().is_none());
    assert!(get_visible(&mut cx, "draft").await.unwrap().is_none());
    let refused = put(
        &mut cx,
        "open",
        &Draft::new(get_visible(&mut p.nobody(), "open").await.unwrap().unwrap().spec),
        "",
        Expected::Anything,
    )
    .await;
    assert!(matches!(refused, Err(Refused::NoRight)));
});

store_test!(lists_are_searched_filtered_and_paged, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut cx = publisher(&p).await;
    for at in 0..7 {
        let name = format!("api-{at}");
        let title = if at == 3 { "100% of_it".to_owned() } else { format!("Number {at}") };
        let (spec, _) =
            read_spec(&name, &json!({"title": title, "version": "1", "owner": format!("team-{}", at % 2)})).unwrap();
        put(&mut cx, &name, &Draft::new(spec), "", Expected::Nothing).await.unwrap();
    }
    cx.commit().await.unwrap();
    let mut cx = publisher(&p).await;

    let mut names = Vec::new();
    let mut after = None;
    loop {
        let (apis, next) = list(&mut cx, &Query { after, ..Query::default() }, 3).await.unwrap();
        names.extend(apis.into_iter().map(|api| api.name));
        after = next;
        if after.is_none() {
            break;
        }
    }
    let found = async |query: Query, cx: &mut Cx| list(cx, &query, 10).await.unwrap().0.len();

    assert_eq!(names, (0..7).map(|at| format!("api-{at}")).collect::<Vec<_>>());
    assert_eq!(found(Query { text: Some("0% OF_".to_owned()), ..Query::default() }, &mut cx).await, 1);
    assert_eq!(found(Query { text: Some("Number_".to_owned()), ..Query::default() }, &mut cx).await, 0);
    assert_eq!(found(Query { owner: Some("team-1".to_owned()), ..Query::default() }, &mut cx).await, 3);
    assert_eq!(found(Query { lifecycle: Some("retired".to_owned()), ..Query::default() }, &mut cx).await, 0);
});

store_test!(what_gateways_would_refuse_is_refused_with_its_place, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &Import { publish: true, ..input(&shop("1")) }).await.unwrap();
    let check = async |change: fn(&mut Draft), pointer: &str| {
        let mut draft = head(&p).await;
        change(&mut draft);
        let refused = put(&mut publisher(&p).await, "shop", &draft, "", Expected::Anything).await.unwrap_err();
        let Refused::Invalid(_, errors) = &refused else { panic!("{refused:?}") };
        assert!(errors.iter().any(|error| error.pointer == pointer), "{pointer}: {errors:?}");
    };

    check(|draft| draft.resources[0].spec["endpoints"] = json!([]), "/resources/0/spec/endpoints").await;
    check(|draft| draft.resources[0].spec["tls"] = json!({"ca": "file:/etc/shadow"}), "/resources/0/spec/tls/ca").await;
    check(|draft| draft.resources[1].spec["api"] = json!("other"), "/resources/1/spec/api").await;
    check(|draft| draft.resources[2].spec["service"] = json!("other"), "/resources/2/spec/service").await;
    check(|draft| draft.resources[2].spec["auth"]["issuer"] = json!("nobody"), "/resources/2/spec/auth/issuer").await;
    check(|draft| draft.resources[2].spec["nonsense"] = json!(1), "/resources/2/spec/nonsense").await;
    check(|draft| draft.resources[3].name = draft.resources[2].name.clone(), "/resources/3/name").await;
    check(|draft| draft.resources[2].kind = "Issuer".to_owned(), "/resources/2/kind").await;
});

store_test!(consumers_read_what_the_gateway_does, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    imported(&p, &input(&shop("1"))).await.unwrap();
    by_hand(&p, |draft| {
        draft.resources.retain(|one| one.name != "shop.getOrder");
        let route = draft.resources.iter_mut().find(|one| one.name == "shop.createOrder").unwrap();
        route.spec["auth"]["scopes"] = json!(["shop.admin"]);
    })
    .await;
    let mut cx = publisher(&p).await;
    publish(&mut cx, "shop", None, false).await.unwrap();
    let shown = revision(&mut cx, "shop", 2).await.unwrap().unwrap();

    let document = document_for_consumers(&p.management.config, &shown);

    assert_eq!(document["servers"], json!([{"url": "https://api.example/shop"}]));
    assert!(document["paths"].get("/orders/{id}").is_none(), "what is not served is not shown");
    assert_eq!(document["paths"]["/orders"]["post"]["security"], json!([{"cardea": ["shop.admin"]}]));
    assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
    assert_eq!(document["components"]["securitySchemes"].as_object().unwrap().len(), 1);
    assert!(!document.to_string().contains("shop.internal"), "the address behind the gateway stays behind it");
    let operations = operations_of(&shown.draft);
    assert_eq!(
        operations.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["listOrders", "createOrder", "health"]
    );
    withdraw(&mut cx, "shop").await.unwrap();
});
