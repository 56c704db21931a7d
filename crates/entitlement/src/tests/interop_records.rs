//! The AuthZEN working group's interop scenarios "Search" and "Identity provider": six users, twenty records, and which
//! records each user may view, edit and delete. Their questions are searches, which this decision point does not
//! answer; what it decides of each user, action and record has to be what the published results say.

use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::Platform;
use crate::MIGRATIONS;

/// Name, role, department.
const USERS: [(&str, &str, &str); 6] = [
    ("alice", "manager", "Sales"),
    ("bob", "employee", "Legal"),
    ("carol", "contractor", "Legal"),
    ("dan", "manager", "Finance"),
    ("erin", "employee", "Finance"),
    ("felix", "contractor", "Accounting"),
];

/// Of the records from 101 on; their owners are the users in turn.
const DEPARTMENTS: [&str; 20] = [
    "Legal",
    "Legal",
    "Legal",
    "Accounting",
    "Legal",
    "Accounting",
    "Sales",
    "Legal",
    "Accounting",
    "Sales",
    "Accounting",
    "Legal",
    "Sales",
    "Accounting",
    "Finance",
    "Legal",
    "Legal",
    "Accounting",
    "Legal",
    "Accounting",
];

const FIRST: usize = 101;

/// User, action, records. The rows of `delete` are those of the scenario "Identity provider", too.
const PUBLISHED: [(&str, &str, &[usize]); 18] = [
    ("alice", "view", &ALL),
    ("alice", "edit", &[101, 107, 110, 113, 119]),
    ("alice", "delete", &[101, 107, 113, 119]),
    ("bob", "view", &[101, 102, 103, 105, 108, 112, 114, 116, 117, 119, 120]),
    ("bob", "edit", &[102, 108, 114, 120]),
    ("bob", "delete", &[102, 108, 114, 120]),
    ("carol", "view", &[101, 102, 103, 105, 108, 109, 112, 115, 116, 117, 119]),
    ("carol", "edit", &[103, 109, 115]),
    ("carol", "delete", &[103, 109, 115]),
    ("dan", "view", &ALL),
    ("dan", "edit", &[104, 110, 115, 116]),
    ("dan", "delete", &[104, 110, 116]),
    ("erin", "view", &[105, 111, 115, 117]),
    ("erin", "edit", &[105, 111, 117]),
    ("erin", "delete", &[105, 111, 117]),
    ("felix", "view", &[104, 106, 109, 111, 112, 114, 118, 120]),
    ("felix", "edit", &[106, 112, 118]),
    ("felix", "delete", &[106, 112, 118]),
];

const ALL: [usize; 20] =
    [101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120];

const SCHEMA: &str = "
    entity user { role?: String, department?: String };
    entity record { department?: String, owner?: user };
    action view, edit, delete appliesTo { principal: [user], resource: [record] };
";

const POLICY: &str = r#"
    permit (principal, action in [Action::"view", Action::"edit", Action::"delete"], resource)
    when { resource has owner && resource.owner == principal };
    permit (principal, action == Action::"view", resource)
    when { principal has department && resource has department && principal.department == resource.department };
    permit (principal, action == Action::"view", resource)
    when { principal has role && principal.role == "manager" };
    permit (principal, action == Action::"edit", resource)
    when {
        principal has role && principal.role == "manager" &&
        principal has department && resource has department && principal.department == resource.department
    };
"#;

store_test!(every_published_result_of_the_search_scenario_is_what_is_decided, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let test = json!({"tests": [{"name": "nobody views", "expect": "deny", "question": {
        "subject": {"type": "user", "id": "x"}, "action": {"name": "view"}, "resource": {"type": "record", "id": "1"}}}]});
    p.publish(POLICY, SCHEMA, test).await;
    let users = USERS.iter().map(|(name, role, department)| {
        json!({"type": "user", "id": name, "attributes": {"role": role, "department": department}})
    });
    let records = DEPARTMENTS.iter().enumerate().map(|(at, department)| {
        let owner = USERS[at % USERS.len()].0;
        json!({"type": "record", "id": (FIRST + at).to_string(), "attributes": {"department": department, "owner": owner}})
    });
    p.put(users.chain(records).collect()).await;
    let may = async |user: &str, action: &str| -> Vec<usize> {
        let evaluations: Vec<Value> =
            ALL.iter().map(|id| json!({"resource": {"type": "record", "id": id.to_string()}})).collect();
        let question = json!({
            "subject": {"type": "user", "id": user}, "action": {"name": action}, "evaluations": evaluations,
        });
        let answer = p.ask("/access/v1/evaluations", &question).await;
        let decisions = answer.body["evaluations"].as_array().unwrap();
        assert_eq!(decisions.len(), ALL.len(), "{}", answer.body);
        ALL.into_iter().zip(decisions).filter(|(_, one)| one["decision"] == true).map(|(id, _)| id).collect()
    };

    for (user, action, records) in PUBLISHED {
        assert_eq!(may(user, action).await, records, "{user} {action}");
    }
    for action in ["view", "edit", "delete"] {
        assert_eq!(may("nobody-like-this", action).await, [0_usize; 0], "{action}");
    }
    assert_eq!(may("alice", "print").await, [0_usize; 0], "no such action");
});
