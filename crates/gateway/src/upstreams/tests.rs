use std::time::Duration;

use super::*;

fn upstream(weights: &[u32]) -> Arc<Upstream> {
    let endpoints = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| {
            let mut endpoint = EndpointSpec::parse(&format!("http://10.0.0.{index}:8080")).unwrap();
            endpoint.weight = *weight;
            endpoint
        })
        .collect();
    Arc::new(Upstream::new(UpstreamSpec::new("orders", endpoints)).unwrap())
}

fn picks(upstream: &Upstream, now_ms: u64, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let host = &upstream.pick(now_ms, None).unwrap().spec.host;
            host.rsplit('.').next().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn turns_go_round_by_weight() {
    assert_eq!(picks(&upstream(&[1, 1, 1]), 0, 4), ["0", "1", "2", "0"]);
    assert_eq!(picks(&upstream(&[2, 1]), 0, 6), ["0", "1", "0", "0", "1", "0"]);
    assert_eq!(picks(&upstream(&[0, 1]), 0, 2), ["1", "1"]);
    assert_eq!(spec::turns(&upstream(&[4_000_000_000, 4_000_000_000]).spec.endpoints), [0, 1]);
}

#[test]
fn an_endpoint_that_keeps_failing_is_left_alone_for_a_while() {
    let upstream = upstream(&[1, 1]);
    let first = Arc::clone(&upstream.endpoints[0]);

    for _ in 0..5 {
        first.failed(&upstream.spec.health, 1_000);
    }

    assert_eq!(picks(&upstream, 1_001, 3), ["1", "1", "1"]);
    assert!(upstream.endpoint_states(1_001)[0].ejected);
    let later: Vec<_> = picks(&upstream, 11_000, 4);
    assert!(later.contains(&"0".to_owned()), "{later:?}");
}

#[test]
fn one_success_forgets_the_failures() {
    let upstream = upstream(&[1]);
    let endpoint = &upstream.endpoints[0];

    for _ in 0..4 {
        endpoint.failed(&upstream.spec.health, 0);
    }
    endpoint.succeeded();
    endpoint.failed(&upstream.spec.health, 0);

    assert!(endpoint.is_open(0));
}

#[test]
fn when_all_are_ejected_they_are_asked_anyway() {
    let upstream = upstream(&[1, 1]);
    for endpoint in &upstream.endpoints {
        (0..5).for_each(|_| endpoint.failed(&upstream.spec.health, 0));
    }

    assert!(upstream.pick(1, None).is_some());
}

#[test]
fn a_second_attempt_goes_elsewhere_if_there_is_an_elsewhere() {
    let pair = upstream(&[1, 1]);
    let first = pair.pick(0, None).unwrap().id();
    for _ in 0..4 {
        assert_ne!(pair.pick(0, Some(first)).unwrap().id(), first);
    }

    let alone = upstream(&[1]);
    let only = alone.pick(0, None).unwrap().id();
    assert_eq!(alone.pick(0, Some(only)).unwrap().id(), only);
}

#[test]
fn places_in_flight_are_given_back() {
    let mut spec = upstream(&[1]).spec.clone();
    spec.max_in_flight = 1;
    let upstream = Arc::new(Upstream::new(spec).unwrap());

    let place = upstream.admit().unwrap();
    assert!(upstream.admit().is_none());
    drop(place);

    assert!(upstream.admit().is_some());
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn endpoints_are_bare_origins() {
    let good = EndpointSpec::parse("https://[::1]").unwrap();
    assert_eq!((good.bare_host(), good.port, good.authority()), ("::1", 443, "[::1]".to_owned()));

    for bad in ["ftp://a", "http://", "http://u@a", "http://a/b", "http://a?b", "http://a#b", "a:80", "http://a:99999"]
    {
        assert!(EndpointSpec::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_spec_without_use_is_refused() {
    let spec = |endpoints| UpstreamSpec::new("x", endpoints);
    let endpoint = EndpointSpec::parse("http://a").unwrap();
    let weightless = EndpointSpec { weight: 0, ..endpoint.clone() };
    let hostile = EndpointSpec { host: "a\r\nb".to_owned(), ..endpoint.clone() };

    assert_eq!(Upstream::new(spec(vec![])).unwrap_err(), BadSpec::NoEndpoint);
    assert_eq!(Upstream::new(spec(vec![weightless])).unwrap_err(), BadSpec::NoWeight);
    assert!(matches!(Upstream::new(spec(vec![hostile])), Err(BadSpec::Endpoint(_))));

    let mut secure = spec(vec![EndpointSpec::parse("https://a").unwrap()]);
    secure.tls.ca_pem = Some("nothing".to_owned());
    assert_eq!(Upstream::new(secure).unwrap_err(), BadSpec::NoCertificate);
}

#[test]
fn a_changed_setting_is_another_spec() {
    let one = upstream(&[1]).spec.clone();
    let mut other = one.clone();
    assert_eq!(one, other);

    other.health.open_for = Duration::from_secs(1);

    assert_ne!(one, other);
}
