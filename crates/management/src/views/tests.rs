//! How things read.

use base::Time;
use catalog::usage::Way;

use super::*;
use crate::usage::Call;

#[test]
fn numbers_are_read_in_groups() {
    for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-4200, "-4,200")] {
        assert_eq!(number(value), text);
    }
    assert_eq!((time_of(950), time_of(1_260), time_of(2_500_000)), ("950 µs".into(), "1.2 ms".into(), "2.5 s".into()));
    assert_eq!((per_cent(125), per_cent(10_000)), ("1.25 %".into(), "100.00 %".into()));
    assert_eq!((share(3, 4), share(9, 0), share(7, 2)), (75, 0, 100));
}

#[test]
fn columns_stay_in_the_square() {
    let figures = |served, refused, failed| Figures { served, refused, failed, ..Figures::default() };
    let made = bars(&[("a".into(), figures(5, 3, 2)), ("b".into(), figures(0, 0, 0))]);

    assert_eq!(made[0].served, ["50.000", "50.000"]);
    assert_eq!(made[0].failed, ["0.000", "20.000"]);
    assert_eq!(made[1].served, ["100.000", "0.000"]);
}

fn one_call(outcome: &str, status: u16, reason: Option<&str>, way: Option<Way>) -> Call {
    Call {
        seq: 7,
        gateway: "g".to_owned(),
        number: 1,
        request_id: "r".to_owned(),
        at: Time::from_ms(0),
        received_at: Time::from_ms(0),
        api: "orders".to_owned(),
        operation: "list".to_owned(),
        method: "GET".to_owned(),
        client: Some("shop".to_owned()),
        subscription: Some("s1".to_owned()),
        plan: Some("small".to_owned()),
        organisation: None,
        status,
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        units: 1,
        micros: 1_000,
        way,
    }
}

fn whole_way() -> Way {
    Way {
        identified_ns: Some(600_400),
        admitted_ns: Some(601_000),
        permitted_ns: Some(640_000),
        token: Some("miss".to_owned()),
        token_end: Some("aB3-_z".to_owned()),
        grant: Some("g1".to_owned()),
        rate_left: Some(59),
        quota_left: Some(9_999),
        verdict: Some("permitted".to_owned()),
        policies: Some("p1 p2".to_owned()),
        shadowed: Some("rate_limited".to_owned()),
        ..Way::default()
    }
}

#[test]
fn each_step_says_what_it_decided_and_took() {
    let seen = call(&one_call("served", 200, None, Some(whole_way())), Time::from_ms(0), Reader::Provider);

    let took: Vec<Option<&str>> = seen.way.iter().map(|step| step.took.as_deref()).collect();
    assert_eq!(took, [None, Some("600 µs"), Some("0.6 µs"), Some("39 µs"), Some("360 µs")]);
    let spans: Vec<(&str, &str)> = seen.way.iter().map(|step| (&*step.from, &*step.share)).collect();
    assert_eq!(spans[3..], [("60.10", "3.90"), ("64.00", "36.00")]);
    assert_eq!(seen.way[1].said, "opaque …aB3-_z → JWT, the token service was asked");
    assert_eq!(seen.way[2].said, "plan small, 1 unit; 59 left at this moment; 9,999 left of the quota");
    assert!(
        seen.way[3].said.contains("policy p1, p2: permitted") && seen.way[3].said.contains("enforced: rate_limited")
    );
    assert!(seen.way.iter().all(|step| step.state == "passed"));
    assert_eq!((seen.map.asked, &*seen.map.service, &*seen.map.answered), ("asked", "asked: 600 µs", "200 in 360 µs"));
    assert_eq!((&*seen.map.token, seen.map.gateway.as_deref()), ("token …aB3-_z", Some("640 µs")));
    assert_eq!(seen.grant.as_deref(), Some("g1"));
}

#[test]
fn a_consumer_is_not_told_of_the_providers_policies() {
    let seen = call(&one_call("served", 200, None, Some(whole_way())), Time::from_ms(0), Reader::Consumer);

    let all = serde_json::to_string(&seen).unwrap();
    assert!(seen.way[3].said.contains("policies: permitted"));
    for secret in ["p1", "rate_limited", "g1"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn a_call_ends_where_it_was_refused() {
    let at = |steps: usize| {
        let whole = whole_way();
        Way {
            identified_ns: whole.identified_ns.filter(|_| steps > 0),
            admitted_ns: whole.admitted_ns.filter(|_| steps > 1),
            permitted_ns: whole.permitted_ns.filter(|_| steps > 2),
            ..whole
        }
    };
    for (reason, way, step) in [
        ("api_retired", Some(Way::default()), 0),
        ("invalid_token", Some(at(0)), 1),
        ("quota_exceeded", Some(at(1)), 2),
        ("policy_denied", Some(at(2)), 3),
        ("upstream_timeout", Some(at(3)), 4),
        // As older gateways tell it.
        ("api_retired", None, 0),
        ("invalid_token", None, 1),
        ("rate_limited", None, 2),
        ("insufficient_scope", None, 3),
    ] {
        let outcome = if step == 4 { "failed" } else { "refused" };
        let told = way.is_some();
        let seen = call(&one_call(outcome, 403, Some(reason), way), Time::from_ms(0), Reader::Provider);

        let states: Vec<&str> = seen.way.iter().map(|step| step.state).collect();
        assert_eq!(states.iter().position(|state| *state == "stop"), Some(step), "{reason}: {states:?}");
        assert!(states[step + 1..].iter().all(|state| *state == "skipped"));
        assert!(seen.way[step].said.contains(reason));
        assert!(seen.way[step + 1..].iter().all(|step| step.took.is_none()));
        assert_eq!(seen.way[step].took.is_some(), told && step > 0, "{reason}");
        assert_eq!(seen.map.stopped, step < 4);
    }
}

#[test]
fn who_comes_with_a_revoked_token_reads_that_it_was() {
    let way = Way { token: Some("revoked".to_owned()), ..Way::default() };
    let seen = call(&one_call("refused", 401, Some("invalid_token"), Some(way)), Time::from_ms(0), Reader::Consumer);

    assert_eq!(seen.why, Some("The access token has been revoked."));
    assert!(seen.way[1].said.contains("revoked"));
}
