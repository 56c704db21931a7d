use crate::{Faults, File, Limits, PolicySet, Source};

fn faults(source: &Source) -> Vec<String> {
    let Faults(faults) = PolicySet::compile(source).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

fn check(text: &str, place: &str, words: &str) {
    let faults = faults(&Source::text("orders.cedar", text));
    assert!(faults[0].starts_with(place) && faults[0].contains(words), "{faults:?}");
}

#[test]
fn a_fault_names_file_line_and_column() {
    check("permit (principal, action, resource);\npermit (principal action);", "orders.cedar:2:19:", "`action`");
    check(
        "permit (\n  principal,\n  action == Action::\"call\",\n  resource\n) when { principal.shoe == 1 };",
        "orders.cedar:5:10:",
        "shoe",
    );
    check("permit (principal is Robot, action, resource);", "orders.cedar:1:", "Robot");
    check("permit (principal, action == Action::\"fly\", resource);", "orders.cedar:1:", "fly");
    check(
        "permit (principal, action == Action::\"call\", resource) when { context.time.hour == \"noon\" };",
        "orders.cedar:1:",
        "String",
    );
    // An optional attribute is asked for before it is read.
    check(
        "permit (principal, action == Action::\"call\", resource) when { context.device.enrolled };",
        "orders.cedar:1:",
        "enrolled",
    );
}

#[test]
fn faults_of_a_schema_are_placed_in_it() {
    let text = "entity Invoice {\n  total: Longg\n};";
    let found = faults(&Source::text("p", "").with_schema(text));
    assert!(found[0].starts_with("schema:2:10:"), "{found:?}");
    let found = faults(&Source::text("p", "").with_schema("entity Invoice {\n  total Long\n};"));
    assert!(found[0].starts_with("schema:2:9:"), "{found:?}");
}

#[test]
fn ids_are_taken_once_and_templates_are_not_taken() {
    let twice = "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);";
    check(twice, "orders.cedar:2:1:", "the id `a` is taken by the policy at orders.cedar:1");
    check("permit (principal == ?principal, action, resource);", "orders.cedar: ", "templates");
    let two = File { name: "a".to_owned(), text: String::new() };
    assert!(faults(&Source { files: vec![two.clone(), two], schema: String::new() })[0].contains("two files"));
}

#[test]
fn text_files_and_policies_are_bounded() {
    let limits = Limits { files: 2, text_bytes: 100, policies: 1, ..Limits::default() };
    let refused = |files: Vec<&str>| {
        let files = files.into_iter().enumerate();
        let files = files.map(|(n, text)| File { name: format!("f{n}"), text: text.to_owned() }).collect();
        let source = Source { files, schema: String::new() };
        PolicySet::compile_with(&source, limits).map(|_| ()).map_err(|faults| faults.to_string())
    };
    let all = "permit(principal,action,resource);";

    assert_eq!(refused(vec![all]), Ok(()));
    assert!(refused(vec!["", "", ""]).unwrap_err().contains("3 files"));
    assert!(refused(vec![&"/".repeat(101)]).unwrap_err().contains("101 bytes"));
    assert!(refused(vec![all, all]).unwrap_err().contains("2 policies"));
}

#[test]
fn deep_nesting_is_refused_and_not_the_end_of_the_process() {
    let when = |body: String| format!("permit (principal, action, resource)\nwhen {{ {body} }};");
    let chain = |part: &str, count: usize| when(format!("{}true", part.repeat(count)));
    for deep in [
        when(format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000))),
        when(format!("{}1{} == 1", "[".repeat(5_000), "]".repeat(5_000))),
        chain("true && ", 5_000),
        chain("false || ", 5_000),
        chain("if true then true else ", 5_000),
        when(format!("0 < {}1", "1 + ".repeat(5_000))),
        when(format!("principal{} == 1", ".a".repeat(5_000))),
        when(format!("principal{} == 1", "[\"a\"]".repeat(5_000))),
        when(format!("{}1 == 1", "-".repeat(5_000))),
        chain("!", 5_000),
    ] {
        check(&deep, "orders.cedar:2:", "");
    }
    let schema = format!("type Deep = {}Long{};", "Set<".repeat(5_000), ">".repeat(5_000));
    assert!(faults(&Source::text("p", "").with_schema(&schema))[0].starts_with("schema:1:"));
}

#[test]
fn what_people_write_is_not_too_deep_and_can_be_evaluated() {
    let when = |body: String| format!("permit (principal, action, resource) when {{ {body} }};");
    let texts = [
        when(format!("{}true", "true && ".repeat(150))),
        when(format!("{}true", "false || ".repeat(150))),
        when(format!("0 < {}1", "1 + ".repeat(28))),
        when(format!("{}true{}", "(".repeat(28), ")".repeat(28))),
        when(format!("[{}1].contains(1)", "1, ".repeat(3_000))),
        when("true".to_owned()).repeat(60),
        when("\"((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((\" == \"x\" || true".to_owned()),
    ];
    for text in texts {
        let decision = super::engine(&text).decide(&super::call("orders.list"));
        assert_eq!(decision.errors, Vec::<String>::new(), "{text}");
        assert!(decision.allow);
    }
}

#[test]
fn a_policy_that_can_never_apply_is_a_warning() {
    let policies = PolicySet::compile(&Source::text(
        "p",
        "permit (principal, action == Action::\"call\", resource) when { principal is Operation };",
    ))
    .unwrap();

    assert_eq!(policies.warnings().len(), 1);
}

#[test]
fn an_organisations_declaration_replaces_the_products() {
    let text = "permit (principal is User, action, resource) when { principal.badge == 7 };";
    let own = "entity User in [Group, Role] { badge: Long };";

    assert!(PolicySet::compile(&Source::text("p", text)).is_err());
    assert!(PolicySet::compile(&Source::text("p", text).with_schema(own)).is_ok());
}

#[test]
fn a_policy_is_known_by_id_place_and_what_it_reads() {
    let text = "\n@id(\"a\")\npermit (principal, action == Action::\"call\", resource)\n\
        when { context.network has zone && context.network.zone == \"lab\" } unless { principal == resource };\n\
        permit (principal, action, resource);";
    let policies = PolicySet::compile(&Source::text("p.cedar", text)).unwrap();

    let ids: Vec<(&str, usize)> = policies.policies().map(|info| (info.id.as_str(), info.line)).collect();
    assert_eq!(ids, [("a", 2), ("p.cedar#2", 5)]);
    let reads: Vec<&str> = policies.find("a").unwrap().reads.iter().map(String::as_str).collect();
    assert_eq!(reads, ["context.network.zone"]);
}
