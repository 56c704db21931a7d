//! Pages of lists: of every operation that has them.

use super::*;

fn items(answer: &Answer) -> Vec<Value> {
    let items = if answer.body.is_array() { &answer.body } else { &answer.body["items"] };
    items.as_array().unwrap_or_else(|| panic!("no list: {}", answer.text)).clone()
}

fn with(path: &str, query: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{query}")
}

store_test!(every_list_has_pages_and_refuses_what_asks_for_none, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let address = furnished(&p).await;

    for operation in described().into_iter().filter(|operation| operation.method == Method::GET) {
        let mut path = address(operation.path);
        if operation.id == "reportUsage" {
            path.push_str("?group=client&step=whole&from=0");
        }
        let whole = p.operate(Method::GET, &path, None).await;
        if !operation.is_list {
            assert!(whole.body.get("items").is_none() && !whole.body.is_array(), "{path} answers a list without pages");
            continue;
        }
        let all = items(&whole);
        let may_be_empty = ["listPushes", "listInvoicesDue"].contains(&operation.id);
        assert!(all.len() > 1 || may_be_empty, "{path}: the test looks at lists that have something: {}", whole.text);
        // One by one, by the links alone.
        let (mut seen, mut next) = (Vec::new(), with(&path, "limit=1"));
        for _ in 0..=all.len() {
            let page = p.operate(Method::GET, &next, None).await;
            let found = items(&page);
            assert!(found.len() <= 1, "{next}: {}", page.text);
            let over = found.is_empty();
            seen.extend(found);
            let link = page.headers.get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
            if let Some(cursor) = page.body["next"].as_str() {
                assert!(link.as_ref().unwrap().contains(&format!("cursor={cursor}>")), "{link:?}");
            }
            let Some(link) = link.filter(|_| !over) else { break };
            assert!(link.ends_with("; rel=\"next\""), "{link}");
            next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        assert_eq!(seen, all.iter().take(seen.len()).cloned().collect::<Vec<_>>(), "{path}");
        assert_eq!(seen.len(), all.len(), "{path}: as many by pages as at once");

        for wrong in
            ["limit=0", "limit=-1", "limit=many", "limit=10001", "limit=1&limit=2", "cursor=nonsense!", "what=1"]
        {
            let answer = p.operate(Method::GET, &with(&path, wrong), None).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} with {wrong}: {}", answer.text);
        }
    }
});

store_test!(every_post_takes_a_key, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let address = furnished(&p).await;

    for operation in described().into_iter().filter(|operation| operation.method == Method::POST) {
        let path = address(operation.path);
        let wrong = exchange(self::operator(&p), with_key("a b", &path, &operation.example)).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{path}: {}", wrong.text);
        assert!(wrong.text.contains("Idempotency-Key"), "{path}: {}", wrong.text);

        let key = format!("key of {}", operation.id).replace(' ', "-");
        let first = exchange(self::operator(&p), with_key(&key, &path, &operation.example)).await;
        let again = exchange(self::operator(&p), with_key(&key, &path, &operation.example)).await;
        if first.status.is_success() {
            assert_eq!((first.status, &first.text), (again.status, &again.text), "{path}");
            assert_eq!(again.headers["idempotency-replayed"], "true", "{path}");
        }
    }
});

store_test!(pages_show_each_thing_once_while_others_write, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for at in 0..10 {
        p.operate(Method::POST, "/management/v1/apis", Some(&sample(&format!("m{at:02}")))).await;
    }

    let mut seen: Vec<String> = Vec::new();
    let mut next = "/management/v1/apis?limit=3&q=m".to_owned();
    for step in 0..20 {
        let page = p.operate(Method::GET, &next, None).await;
        seen.extend(page.body["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        // One before and one behind where the reader is, and one that goes.
        p.operate(Method::POST, "/management/v1/apis", Some(&sample(&format!("a{step:02}m")))).await;
        p.operate(Method::POST, "/management/v1/apis", Some(&sample(&format!("z{step:02}m")))).await;
        let Some(link) = page.headers.get(header::LINK) else { break };
        let link = link.to_str().unwrap();
        assert!(link.ends_with("; rel=\"next\"") && link.contains("limit=3") && link.contains("q=m"), "{link}");
        next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        if seen.len() > 14 {
            break;
        }
    }

    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "nothing twice: {seen:?}");
    assert!((0..10).all(|at| seen.contains(&format!("m{at:02}"))), "nothing left out: {seen:?}");
});
