//! The regulated example: a patient's record, readable by their own doctor, from an enrolled device, from the
//! hospital's network, after a login of the last 15 minutes.

use policy::Suite;
use serde_json::{Value, json};
use testkit::clock::START;
use testkit::db::TestDb;
use testkit::store_test;

use super::Platform;
use crate::MIGRATIONS;

const POLICY: &str = include_str!("../../../policy/examples/patient/policy.cedar");
const SCHEMA: &str = include_str!("../../../policy/examples/patient/schema.cedarschema");
const TESTS: &str = include_str!("../../../policy/examples/patient/tests.yaml");

async fn platform(db: TestDb) -> Platform {
    let p = Platform::on(db).await;
    let suite: Suite = serde_saphyr::from_str(TESTS).unwrap();
    p.publish(POLICY, SCHEMA, serde_json::to_value(&suite).unwrap()).await;
    p.put(serde_json::to_value(&suite.entities).unwrap()).await;
    p
}

fn good() -> Value {
    json!({
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "read_record"},
        "resource": {"type": "patient_record", "id": "r1"},
        "context": {
            "authentication": {"auth_time": START.seconds() - 600, "acr": "2", "amr": ["pwd", "otp"]},
            "device": {"id": "tablet-7", "enrolled": true},
            "network": {"address": "10.20.3.4"},
        },
    })
}

fn broken(pointer: &str, value: Value) -> Value {
    let mut question = good();
    *question.pointer_mut(pointer).unwrap() = value;
    question
}

store_test!(each_condition_broken_once_is_refused_for_that_reason, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    assert!(p.decides(&good()).await);

    for (question, policy, reason) in [
        (broken("/subject/id", json!("ben")), "own-patients", "You are not the doctor of this patient."),
        (
            broken("/context/device/enrolled", json!(false)),
            "enrolled-device",
            "Use a device that the hospital has enrolled.",
        ),
        (broken("/context/device", json!({})), "enrolled-device", "Use a device that the hospital has enrolled."),
        (
            broken("/context/network/address", json!("203.0.113.9")),
            "hospital-network",
            "Connect to the hospital's network.",
        ),
        (broken("/context/network", json!(null)), "hospital-network", "Connect to the hospital's network."),
        (
            broken("/context/authentication/auth_time", json!(START.seconds() - 901)),
            "recent-login",
            "Log in again to read this record.",
        ),
        (
            broken("/context/authentication/auth_time", json!(START.seconds() + 61)),
            "recent-login",
            "Log in again to read this record.",
        ),
    ] {
        let answer = p.evaluate(&question).await.body;
        assert_eq!(answer["decision"], false, "{question}");
        assert_eq!(answer["context"]["policies"], json!([policy]));
        assert_eq!(answer["context"]["reason_user"]["403"], reason);
        let admin = answer["context"]["reason_admin"]["403"].as_str().unwrap();
        assert!(admin.starts_with(&format!("forbidden by {policy} (policy.cedar:")), "{admin}");
    }
});

store_test!(an_old_login_is_told_what_would_help, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    p.clock.advance(std::time::Duration::from_secs(301));

    let answer = p.evaluate(&good()).await.body;

    assert_eq!((&answer["decision"], &answer["context"]["max_age"]), (&json!(false), &json!("900")));
});

store_test!(what_the_asking_side_says_of_the_record_does_not_count, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let mut question = broken("/subject/id", json!("ben"));
    question["resource"]["properties"] = json!({"doctor": "ben"});
    question["context"]["time"] = json!({"now": 0, "hour": 0, "weekday": 1});

    assert!(!p.decides(&question).await);
});

store_test!(a_missing_permit_is_said_with_the_condition_that_lacks, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let mut question = broken("/subject/id", json!("cleo"));
    question["resource"]["id"] = json!("r2");

    let answer = p.evaluate(&question).await.body;

    assert_eq!(answer["context"]["reason_admin"]["403"], "no policy permits it");
});
