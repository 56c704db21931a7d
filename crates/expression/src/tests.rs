use std::borrow::Cow;

use serde_json::{Value, json};

use crate::{Document, Expression, Failure, Names, Part, Scope, Template};

fn names() -> Names {
    Names::new(["request.params", "request.body", "steps.order.body", "steps.order.status", "claims"])
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.set("request.params", Part::new(json!({"id": "7"})));
    scope.set("request.body", Part::new(json!({"n": 3, "list": [1, 2, 3], "names": ["b", "a"], "z": 1, "a": 2})));
    let order = json!({"total": 12.5, "lines": [{"sku": "x", "count": 2}, {"sku": "y", "count": 0}], "nick": null});
    scope.set("steps.order.body", Part::new(order));
    scope.set("steps.order.status", Part::new(json!(200)));
    scope.set("claims", Part::new(json!({"sub": "alice", "groups": ["staff"], "big": 18_446_744_073_709_551_615_u64})));
    scope
}

fn value(text: &str) -> Result<Option<Value>, Failure> {
    let expression = Expression::compile(text, &names()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    expression.value(&scope()).map(|value| value.map(Cow::into_owned))
}

fn fault(text: &str) -> String {
    let fault = Expression::compile(text, &names()).expect_err(text);
    format!("{}: {}", fault.offset, fault.message)
}

#[test]
fn values_keep_their_kind() {
    for (text, expected) in [
        ("steps.order.status", json!(200)),
        ("steps.order.status + 1", json!(201)),
        ("steps.order.body.total", json!(12.5)),
        ("steps.order.body.lines[0].sku", json!("x")),
        ("steps.order.body['lines'][1][\"sku\"] + '!'", json!("y!")),
        ("steps['order'].body.total * 2.0", json!(25.0)),
        ("claims.big", json!(18_446_744_073_709_551_615_u64)),
        ("claims.big == 18446744073709551615u", json!(true)),
        ("steps.order.body.lines.filter(l, l.count > 0).map(l, l.sku)", json!(["x"])),
        ("request.body.list.map(steps, steps * 2)", json!([2, 4, 6])),
        ("request.body.list.exists(x, x == 2) && !request.body.list.all(x, x > 1)", json!(true)),
        ("request.body.list.exists_one(x, x == 2)", json!(true)),
        ("'staff' in claims.groups ? 'in' : 'out'", json!("in")),
        ("has(steps.order.body.total) && !has(steps.order.body.nothing)", json!(true)),
        ("type(request.params.id) == string", json!(true)),
        ("string(steps.order.status) + '/' + request.params.id", json!("200/7")),
        ("{'b': 1, 'a': [claims.sub]}", json!({"a": ["alice"], "b": 1})),
        ("claims.sub.upperAscii().replace('L', '-')", json!("A-ICE")),
        ("'a,b'.split(',').join('+') + ' x '.trim()", json!("a+bx")),
        ("claims.sub.matches('^al.*e$') && !matches(claims.sub, 'bob')", json!(true)),
        ("claims.?nick.orValue('none')", json!("none")),
        ("[1, ?claims.?nick, ?claims.?sub]", json!([1, "alice"])),
        ("{'a': 1, ?'b': claims.?nick, ?'c': claims.?sub}", json!({"a": 1, "c": "alice"})),
        ("steps.order.body.?lines[0].sku.orValue('none')", json!("x")),
        ("size(claims.groups) == 1 && claims.sub.startsWith('al')", json!(true)),
    ] {
        assert_eq!(value(text), Ok(Some(expected)), "{text}");
    }
    assert_eq!(value("claims.?nick"), Ok(None));
}

#[test]
fn a_plain_path_keeps_the_order_of_members() {
    let whole = value("request.body").unwrap().unwrap();

    let keys: Vec<&String> = whole.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["n", "list", "names", "z", "a"]);
}

#[test]
fn what_cannot_be_evaluated_says_why_and_tells_no_value() {
    for (text, expected) in [
        ("steps.order.body.nothing", Failure::Missing),
        ("steps.order.body.nothing + 1", Failure::Missing),
        ("request.body.list[7]", Failure::OutOfBounds),
        ("request.body.list[7] + 1", Failure::OutOfBounds),
        ("claims.sub.name", Failure::Kind),
        ("claims.sub + 1", Failure::Kind),
        ("1 / (steps.order.status - 200)", Failure::Number),
        ("9223372036854775807 + steps.order.status", Failure::Number),
        ("type(1)", Failure::NoJson),
        ("b'x'", Failure::NoJson),
        // An optional is no member: `[?a.?b]` unwraps it.
        ("[claims.?sub]", Failure::Kind),
        ("request.body.list.map(x, claims.?sub)", Failure::Kind),
        ("{'a': optional.of(1)}", Failure::Kind),
        ("1.0 / 0.0", Failure::NoJson),
        ("request.body[1.5]", Failure::Kind),
    ] {
        assert_eq!(value(text), Err(expected), "{text}");
    }
    let truth = Expression::compile("claims.sub", &names()).unwrap().truth(&scope());
    assert_eq!(truth, Err(Failure::NotA("true or false")));
}

#[test]
fn unknown_names_and_functions_are_refused_when_compiled() {
    assert_eq!(fault("1 + claimz.sub"), "4: there is no `claimz.sub` here, did you mean `claims`?");
    assert_eq!(
        fault("steps.order"),
        "0: `steps.order` cannot be read as a whole; its parts: steps.order.body, steps.order.status"
    );
    assert!(fault("steps[request.params.id].body").starts_with("0: `steps` cannot be read as a whole"));
    assert!(fault("other").contains("there is no `other` here; known: request.params"));
    assert!(fault("now()").contains("there is no function `now`"));
    assert!(fault("claims.sub.my_func()").contains("there is no function `my_func`"));
    assert!(fault("claims.sub.matches(claims.sub)").contains("a pattern is written out"));
    assert!(fault("claims.sub.matches('(')").contains("the pattern cannot be used"));
    assert!(fault("Foo{a: 1}").contains("messages cannot be made here"));
    assert!(fault(" ").contains("missing"));
    assert!(fault("claims.").contains("Syntax error"));
    assert!(fault("@fuel").contains("Syntax error"));
    assert!(fault(".claims").contains("there is no `.claims`"));
}

#[test]
fn references_are_found_but_not_the_variables_of_comprehensions() {
    let text =
        "steps.order.body.lines.map(claims, claims.sku + request.params['id']) + [claims.?sub.?x, has(claims.y)]";
    let expression = Expression::compile(text, &names()).unwrap();

    let reads: Vec<String> = expression.reads().iter().map(ToString::to_string).collect();
    assert_eq!(reads, ["steps.order.body.lines", "request.params.id", "claims.sub.x", "claims.y"]);
}

#[test]
fn deep_or_long_texts_are_refused_on_any_stack() {
    for text in [
        "(".repeat(2000) + "1" + &")".repeat(2000),
        "[".repeat(2000) + &"]".repeat(2000),
        "1+".repeat(2000) + "1",
        "true?1:".repeat(500) + "1",
        "{1:".repeat(1000) + "1" + &"}".repeat(1000),
        format!("claims{}", ".a".repeat(2000)),
        format!("claims{}", "[0]".repeat(1000)),
        "a".repeat(5000),
        "'".repeat(4000),
        "\u{0}".repeat(3000),
        "claims.map(x, ".repeat(200) + "1" + &")".repeat(200),
    ] {
        assert!(Expression::compile(&text, &names()).is_err(), "{}", &text[..20]);
    }
    // The parser takes pairs of these away.
    assert_eq!(value(&("-".repeat(4000) + "1")), Ok(Some(json!(1))));
    assert_eq!(value(&("!".repeat(4001) + "true")), Ok(Some(json!(false))));
}

/// What a worker thread of tokio has.
const STACK: usize = 2 << 20;

#[test]
fn the_deepest_expression_that_is_taken_is_evaluated_on_a_small_stack() {
    let chain = format!("1{}", "+1".repeat(crate::MAX_DEPTH - 1));
    let nested = format!("{}1{}", "[".repeat(20), "]".repeat(20));
    let loops = format!("{}1{}", "[1].map(x, ".repeat(5), ")".repeat(5));
    let evaluated = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || [value(&chain).is_ok(), value(&nested).is_ok(), value(&loops).is_ok()]);

    assert_eq!(evaluated.unwrap().join().unwrap(), [true; 3]);
}

#[test]
fn expressions_that_explode_end_within_their_fuel() {
    let ten = "[1,2,3,4,5,6,7,8,9,0]";
    let loops =
        |depth: usize, body: &str| format!("{}{body}{}", format!("{ten}.map(x, ").repeat(depth), ")".repeat(depth));
    let doubling = |of: &str| format!("[{of}]{}", ".map(x, x + x)".repeat(20));
    for text in [
        loops(6, "1"),
        loops(6, "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"),
        doubling("'0123456789012345678901234567890123456789012345678901234567890123456789'"),
        doubling("[1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        format!("[[1]]{}", ".map(x, [x, x])".repeat(20)),
        format!("[[1]]{}", ".map(x, {'a': x, 'b': x})".repeat(20)),
        format!("optional.of([1]{})", ".map(x, [x, x])".repeat(19)),
        // An error that `||` swallows does not swallow the end of the fuel.
        format!("({}).size() > 0 || true", loops(6, "1")),
        format!("[1].exists(x, {}.size() == 1) || true", loops(6, "1")),
    ] {
        assert_eq!(value(&text), Err(Failure::TooMuch), "{text}");
    }
}

#[test]
fn large_inputs_are_compared_and_copied_within_the_fuel_only() {
    let names = Names::new(["a", "b"]);
    let mut scope = Scope::default();
    let list: Vec<u32> = (0..30_000).collect();
    scope.set("a", Part::new(json!(list)));
    scope.set("b", Part::new(json!(list)));
    let run =
        |text: &str| Expression::compile(text, &names).unwrap().value(&scope).map(|value| value.unwrap().into_owned());

    assert_eq!(run("a == b"), Ok(json!(true)));
    assert_eq!(run("a.exists(x, a == b && x < 0)"), Err(Failure::TooMuch));
    assert_eq!(run("a.all(x, x in b)"), Err(Failure::TooMuch));
    assert_eq!(run("a.map(x, a[x])").map(|list| list.as_array().unwrap().len()), Ok(30_000));

    scope.set("a", Part::new(json!(vec![0; 300_000])));
    let size = Expression::compile("size(a)", &names).unwrap();
    assert_eq!(size.value(&scope), Err(Failure::TooLarge));
    let place = Expression::compile("a[299999]", &names).unwrap();
    assert_eq!(place.value(&scope).unwrap().as_deref(), Some(&json!(0)));
}

#[test]
fn patterns_that_explode_are_refused_or_linear() {
    assert!(fault(r"claims.sub.matches('(a{1000}){1000}')").contains("too large"));
    let names = Names::new(["a"]);
    let mut scope = Scope::default();
    scope.set("a", Part::new(json!("a".repeat(100_000))));
    let bomb = Expression::compile(r"a.matches('^(a+)+$') && !a.matches('(a|a|a)*b')", &names).unwrap();

    assert_eq!(bomb.truth(&scope), Ok(true));
}

#[test]
fn a_replacement_makes_no_more_than_it_may() {
    let names = Names::new(["a"]);
    let mut scope = Scope::default();
    scope.set("a", Part::new(json!("a".repeat(10_000))));

    let bomb = Expression::compile("a.replace('a', a)", &names).unwrap();
    assert_eq!(bomb.value(&scope), Err(Failure::TooMuch));
    let bomb = Expression::compile("a.split('a').join(a)", &names).unwrap();
    assert_eq!(bomb.value(&scope), Err(Failure::TooMuch));
}

#[test]
fn templates_hold_text_and_expressions() {
    let text = |text: &str| Template::compile(text, &names()).unwrap().text(&scope());

    assert_eq!(text("/orders/${ request.params.id }/x"), Ok(Some("/orders/7/x".to_owned())));
    assert_eq!(text("${ {'a': '}'}['a'] }${ 'x' }"), Ok(Some("}x".to_owned())));
    assert_eq!(text("$${ kept } and ${ steps.order.status }"), Ok(Some("${ kept } and 200".to_owned())));
    assert_eq!(text("costs 5$"), Ok(Some("costs 5$".to_owned())));
    assert_eq!(text("${ claims.groups }"), Err(Failure::NotA("text")));
    assert_eq!(text("${ steps.order.body.nick }"), Ok(None));
    assert_eq!(text("a ${ steps.order.body.nick }"), Err(Failure::NotA("text")));
    let fault = Template::compile("ab ${ 1 + nothing }", &names()).unwrap_err();
    assert_eq!(fault.offset, 10);
    assert!(Template::compile("${ 'a }", &names()).unwrap_err().message.contains("not closed"));
}

#[test]
fn documents_keep_kinds_and_order_and_leave_out_what_is_absent() {
    let json = json!({
        "id": "${ request.params.id }", "total": "${ steps.order.body.total }", "label": "#${ request.params.id }",
        "nick": "${ claims.?nick }", "list": [1, "${ claims.sub }", "${ claims.?nick }"], "fixed": {"a": ["$${x}"]},
    });
    let document = Document::compile(&json, &names()).unwrap();

    let value = document.value(&scope()).unwrap();

    let expected = r##"{"id":"7","total":12.5,"label":"#7","list":[1,"alice"],"fixed":{"a":["${x}"]}}"##;
    assert_eq!(value.to_string(), expected);
    assert_eq!(document.reads().len(), 6);
    let faults = Document::compile(&json!({"a/b": ["${ x }", "${ 1 +"]}), &names()).unwrap_err();
    let pointers: Vec<&str> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/a~1b/0", "/a~1b/1"]);
    let failing = Document::compile(&json!({"a": "${ claims.no }"}), &names()).unwrap();
    assert_eq!(failing.value(&scope()), Err(("/a", Failure::Missing)));
}

mod any_text {
    use super::{Expression, names, scope};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn compiles_or_is_refused_and_ends(text in r#"[a-z0-9().?:+\-*/%!&|<>=\[\]{}'", $@_`\\]{0,60}"#) {
            if let Ok(expression) = Expression::compile(&text, &names()) {
                let _ = expression.value(&scope());
            }
        }

        #[test]
        fn pieces_of_the_language_in_any_order_end(pieces in proptest::collection::vec(prop::sample::select(vec![
            "claims", ".sub", ".groups", "request.body", ".list", ".map(x, ", ".filter(x, ", ".all(x, ", "x", ")", "(", "[",
            "]", "+", "==", "&&", "||", "!", "?", ":", "1", "'a'", "1.5", "{", "}", ",", "in", "size(", "has(", ".?a", "null",
        ]), 1..14)) {
            if let Ok(expression) = Expression::compile(&pieces.join(" "), &names()) {
                let _ = expression.value(&scope());
            }
        }
    }
}

#[test]
fn what_is_written_is_the_value() {
    let names = Names::new(["a".to_owned(), "b".to_owned()]);
    let mut scope = Scope::default();
    scope.set("a", Part::new(json!({"x": [1, {"y": "\u{e4}\"\n"}], "n": null, "f": 1.5})));
    scope.set("b", Part::new(json!("text")));
    for document in [
        json!({"one": "${ a.x }", "none": "${ a.?missing }", "two": ["${ a.?missing }", "${ b }", "${ a.?missing }", 3], "k\"": "x ${ b }"}),
        json!(["${ a.?missing }"]),
        json!("${ a }"),
        json!("${ a.?missing }"),
        json!({"last": {"gone": "${ a.?missing }"}}),
        json!({"sum": "${ size(a.x) + 1 }", "c": true}),
    ] {
        let document = Document::compile(&document, &names).unwrap();
        let mut out = Vec::new();

        document.write(&scope, &mut out).unwrap();

        assert_eq!(out, serde_json::to_vec(&document.value(&scope).unwrap()).unwrap());
    }
    let failing = Document::compile(&json!({"a": "${ a.missing }"}), &names).unwrap();
    assert_eq!(failing.write(&scope, &mut Vec::new()), Err(Failure::Missing));
}
