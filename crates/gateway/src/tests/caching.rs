use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::House;
use super::house::{RESOURCES, TOKEN, answer, jwt_answer};

/// How often the issuer is asked for calls at these seconds, with this `Cache-Control`.
async fn asked(resources: &str, cache_control: Option<&'static str>, expires_in: i64, seconds: &[u64]) -> usize {
    let house = House::with(resources);
    let jwt = house.issuer.jwt(&json!({"exp": house.clock_seconds() + expires_in}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, cache_control)));
    let mut now = 0;
    for at in seconds {
        house.clock.advance(Duration::from_secs(at - now));
        now = *at;
        let _whatever_comes_of_it = house.call(TOKEN).await;
    }
    house.issuer.asked()
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_kept_for_the_shortest_of_expiry_max_age_and_cap() {
    assert_eq!(asked(RESOURCES, None, 600, &[0, 299]).await, 1);
    assert_eq!(asked(RESOURCES, None, 600, &[0, 300]).await, 2);
    assert_eq!(asked(RESOURCES, Some("max-age=60"), 600, &[0, 59]).await, 1);
    assert_eq!(asked(RESOURCES, Some("max-age=60"), 600, &[0, 60]).await, 2);
    assert_eq!(asked(RESOURCES, Some("max-age=900"), 900, &[0, 300]).await, 2);
    assert_eq!(asked(RESOURCES, None, 30, &[0, 29]).await, 1);
    assert_eq!(asked(RESOURCES, None, 30, &[0, 30]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_kept_is_not() {
    for cache_control in ["no-store", "no-cache", "max-age=0", "max-age=60, no-store", "max-age=x"] {
        assert_eq!(asked(RESOURCES, Some(cache_control), 600, &[0, 0, 0]).await, 3, "{cache_control}");
    }
    let never = RESOURCES.replace("maxTtl: 300s", "maxTtl: 0s");
    assert_eq!(asked(&never, None, 600, &[0, 0]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_must_not_be_kept_ends_what_was_kept() {
    let house = House::new();
    house.call(TOKEN).await;
    house.clock.advance(Duration::from_secs(61));
    let jwt = house.issuer.jwt(&json!({}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, Some("no-store"))));

    house.call(TOKEN).await;
    house.call(TOKEN).await;

    assert_eq!(house.issuer.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_day_may_be_set_back() {
    let house = House::new();
    house.call(TOKEN).await;
    house.clock.advance(Duration::from_secs(61));
    house.clock.set(testkit::clock::START);

    house.call(TOKEN).await;

    assert_eq!(house.issuer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_active_is_kept_only_where_the_operator_says_so() {
    for (resources, expected) in
        [(RESOURCES.to_owned(), 3), (RESOURCES.replace("maxTtl", "negativeTtl: 10s, maxTtl"), 2)]
    {
        let house = House::with(&resources);
        house.issuer.answers(|_| Ok(answer(204, None, "", None)));

        assert_eq!(house.call(TOKEN).await.status(), 401);
        assert_eq!(house.call(TOKEN).await.status(), 401);
        house.clock.advance(Duration::from_secs(10));
        assert_eq!(house.call(TOKEN).await.status(), 401);

        assert_eq!(house.issuer.asked(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_never_kept() {
    let house = House::with(&RESOURCES.replace("maxTtl", "negativeTtl: 10s, maxTtl"));
    house.issuer.answers(|_| Ok(answer(500, None, "", None)));
    assert_eq!(house.call(TOKEN).await.status(), 503);

    let jwt = house.issuer.jwt(&json!({}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));

    assert_eq!(house.call(TOKEN).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_serves_through_an_outage_until_it_is_too_old() {
    let house = House::new();
    house.call(TOKEN).await;
    *house.issuer.down.lock().unwrap() = true;

    assert_eq!(house.call(TOKEN).await.status(), 200);
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(house.call(TOKEN).await.status(), 503);
    *house.issuer.down.lock().unwrap() = false;
    assert_eq!(house.call(TOKEN).await.status(), 200);
}

/// Calls that have all asked before the first is answered.
async fn together(house: &House, number: usize, token: impl Fn(usize) -> String) -> Vec<u16> {
    house.issuer.hold();
    let calls = join_all((0..number).map(|at| {
        let token = token(at);
        async move { house.call(&token).await.status() }
    }));
    let release = async {
        while house.issuer.asked() == 0 {
            tokio::task::yield_now().await;
        }
        // Every call has been polled once before this runs a second time.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        house.issuer.release();
    };
    tokio::join!(calls, release).0
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_calls_with_one_token_is_one_question() {
    for cache_control in ["max-age=60", "no-store"] {
        let house = House::new();
        let jwt = house.issuer.jwt(&json!({}));
        house.issuer.answers(move |_| Ok(jwt_answer(&jwt, Some(cache_control))));
        house.issuer.hold();

        let statuses = together(&house, 64, |_| TOKEN.to_owned()).await;

        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        assert_eq!(house.issuer.asked(), 1, "{cache_control}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_on_threads_of_their_own_share_one_question() {
    let house = Arc::new(House::new());
    house.issuer.hold();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let house = Arc::clone(&house);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    join_all((0..8).map(|_| house.call(TOKEN)))
                        .await
                        .iter()
                        .map(super::Sent::status)
                        .collect::<Vec<_>>()
                })
            })
        })
        .collect();
    while house.issuer.asked() == 0 {
        tokio::task::yield_now().await;
    }
    house.issuer.release();

    for worker in workers {
        let statuses = tokio::task::spawn_blocking(move || worker.join().unwrap()).await.unwrap();
        assert_eq!(statuses, [200; 8]);
    }
    assert_eq!(house.issuer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_nobody_with_it() {
    let house = House::new();
    house.issuer.hold();
    {
        let mut first = Box::pin(house.call(TOKEN));
        while house.issuer.asked() == 0 {
            assert!(futures_util::poll!(&mut first).is_pending());
            tokio::task::yield_now().await;
        }
    }
    let mut second = Box::pin(house.call(TOKEN));
    assert!(futures_util::poll!(&mut second).is_pending());
    house.issuer.release();

    assert_eq!(second.await.status(), 200);
    assert_eq!(house.issuer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_at_the_same_time_are_bounded() {
    let house = House::with(&RESOURCES.replace("cache: {", "maxConcurrent: 2, cache: {"));

    let mut statuses = together(&house, 10, |at| format!("token-{at}")).await;

    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503, 503, 503, 503, 503]);
    assert_eq!(house.call("later").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_survives_a_reload_of_what_did_not_change() {
    let house = House::new();
    house.call(TOKEN).await;

    std::fs::write(house.file(), RESOURCES.replace("name: public", "name: open")).unwrap();
    house.gateway.reload().unwrap();
    house.call(TOKEN).await;
    assert_eq!(house.issuer.asked(), 1);

    std::fs::write(house.folder.path().join("conf/gateway.secret"), "another").unwrap();
    house.gateway.reload().unwrap();
    house.call(TOKEN).await;
    assert_eq!(house.issuer.asked(), 2);
}
