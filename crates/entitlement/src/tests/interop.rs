//! The AuthZEN working group's interop scenarios, "Todo" and "API gateway": five users, their published
//! roles, and every published decision.

use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::Platform;
use crate::MIGRATIONS;

/// Name, the digit in which the subject's published identifier differs, mail address, roles.
const USERS: [(&str, char, &str, &[&str]); 5] = [
    ("rick", 'A', "rick@the-citadel.com", &["admin", "evil_genius"]),
    ("morty", 'E', "morty@the-citadel.com", &["editor"]),
    ("summer", 'I', "summer@the-smiths.com", &["editor"]),
    ("beth", 'M', "beth@the-smiths.com", &["viewer"]),
    ("jerry", 'Q', "jerry@the-smiths.com", &["viewer"]),
];

const SCHEMA: &str = "
    entity user in [Role] { email?: String };
    entity identity in [Role];
    entity todo { ownerID?: String };
    entity route;
    action can_read_user appliesTo { principal: [user], resource: [user] };
    action can_read_todos, can_create_todo, can_update_todo, can_delete_todo
        appliesTo { principal: [user], resource: [todo] };
    action GET, POST, PUT, DELETE appliesTo { principal: [identity], resource: [route] };
";

const POLICY: &str = r#"
    permit (principal in Role::"viewer", action in [Action::"can_read_user", Action::"can_read_todos"], resource);
    permit (principal in Role::"editor", action == Action::"can_create_todo", resource);
    permit (principal in Role::"editor", action in [Action::"can_update_todo", Action::"can_delete_todo"], resource)
    when { principal has email && resource has ownerID && resource.ownerID == principal.email };
    permit (principal in Role::"evil_genius", action == Action::"can_update_todo", resource);
    permit (principal in Role::"admin", action == Action::"can_delete_todo", resource);

    permit (principal, action == Action::"GET", resource)
    when { [route::"/users/{userId}", route::"/todos"].contains(resource) };
    permit (principal in Role::"editor", action == Action::"POST", resource == route::"/todos");
    permit (principal in Role::"editor", action in [Action::"PUT", Action::"DELETE"], resource == route::"/todos/{todoId}");
"#;

fn subject(user: &str) -> String {
    let (_, digit, ..) = USERS.iter().find(|(name, ..)| *name == user).unwrap();
    format!("CiRmZD{digit}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs")
}

fn email(user: &str) -> &str {
    USERS.iter().find(|(name, ..)| *name == user).unwrap().2
}

fn todo(number: u32, owner: &str) -> Value {
    let id = format!("7240d0db-8ff0-41ec-98b2-34a096273b{number}");
    json!({"type": "todo", "id": id, "properties": {"ownerID": email(owner)}})
}

fn number(owner: &str) -> u32 {
    match owner {
        "morty" => 91,
        "rick" => 92,
        "summer" => 93,
        "beth" => 94,
        _ => 95,
    }
}

async fn platform(db: TestDb) -> Platform {
    let p = Platform::on(db).await;
    let test = json!({"tests": [{"name": "nobody reads", "expect": "deny", "question": {
        "subject": {"type": "user", "id": "x"}, "action": {"name": "can_read_todos"}, "resource": {"type": "todo", "id": "1"}}}]});
    p.publish(POLICY, SCHEMA, test).await;
    let role = |id: &str, of: &[&str]| {
        let parents: Vec<Value> = of.iter().map(|id| json!({"type": "Role", "id": id})).collect();
        json!({"type": "Role", "id": id, "parents": parents})
    };
    // An editor is a viewer, too; so are administrators and evil geniuses editors.
    let mut entities = vec![role("editor", &["viewer"]), role("admin", &["editor"]), role("evil_genius", &["editor"])];
    for (name, _, email, roles) in USERS {
        let parents: Vec<Value> = roles.iter().map(|id| json!({"type": "Role", "id": id})).collect();
        entities.push(json!({"type": "user", "id": subject(name), "attributes": {"email": email}, "parents": parents}));
        entities.push(json!({"type": "identity", "id": subject(name), "parents": parents}));
    }
    p.put(Value::Array(entities)).await;
    p
}

store_test!(every_published_decision_of_the_todo_scenario_comes_out, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    // Create a todo; update and delete Rick's, and one's own.
    let published = [
        ("rick", true, [true, true], [true, true]),
        ("morty", true, [false, true], [false, true]),
        ("summer", true, [false, true], [false, true]),
        ("beth", false, [false, false], [false, false]),
        ("jerry", false, [false, false], [false, false]),
    ];
    let mut asked = 0;

    for (user, create, update, delete) in published {
        let beth = json!({"type": "user", "id": email("beth")});
        let own = json!({"type": "user", "id": email(user)});
        let first = json!({"type": "todo", "id": "todo-1"});
        // Rick's "other" todo is Morty's.
        let other = if user == "rick" { "morty" } else { user };
        let (ricks, others) = (todo(number("rick"), "rick"), todo(number(other), other));
        for (action, resource, expected) in [
            ("can_read_user", &beth, true),
            ("can_read_user", &own, true),
            ("can_read_todos", &first, true),
            ("can_create_todo", &first, create),
            ("can_update_todo", &ricks, update[0]),
            ("can_update_todo", &others, update[1]),
            ("can_delete_todo", &ricks, delete[0]),
            ("can_delete_todo", &others, delete[1]),
        ] {
            let subject = json!({"type": "user", "id": subject(user)});
            let question = json!({"subject": subject, "action": {"name": action}, "resource": resource});
            assert_eq!(p.decides(&question).await, expected, "{user} {question}");
            asked += 1;
        }
    }
    assert_eq!(asked, 40);
});

store_test!(every_published_batch_of_the_todo_scenario_comes_out, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;

    for (user, other, expected) in
        [("rick", "jerry", [true, true]), ("morty", "morty", [false, true]), ("jerry", "jerry", [false, false])]
    {
        let batch = json!({
            "subject": {"type": "user", "id": subject(user)},
            "action": {"name": "can_update_todo"},
            "evaluations": [{"resource": todo(92, "rick")}, {"resource": todo(number(other), other)}],
        });
        let answer = p.ask("/access/v1/evaluations", &batch).await;
        let all = answer.body["evaluations"].as_array().unwrap();
        let decisions: Vec<bool> = all.iter().map(|one| one["decision"].as_bool().unwrap()).collect();
        assert_eq!(decisions, expected, "{user}");
    }
});

store_test!(every_published_decision_of_the_gateway_scenario_comes_out, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let writers = ["rick", "morty", "summer"];
    let mut asked = 0;

    for (user, ..) in USERS {
        for (method, route, all) in [
            ("GET", "/users/{userId}", true),
            ("GET", "/todos", true),
            ("POST", "/todos", false),
            ("PUT", "/todos/{todoId}", false),
            ("DELETE", "/todos/{todoId}", false),
        ] {
            let question = json!({
                "subject": {"type": "identity", "id": subject(user)},
                "action": {"name": method},
                "resource": {"type": "route", "id": route},
            });
            assert_eq!(p.decides(&question).await, all || writers.contains(&user), "{user} {method} {route}");
            asked += 1;
        }
    }
    assert_eq!(asked, 25);
});
