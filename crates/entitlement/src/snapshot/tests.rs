use super::matches;

#[test]
fn any_of_the_tags_matches() {
    assert!(matches("\"1\"", "\"1\""));
    assert!(matches("\"0\", W/\"1\"", "\"1\""));
    assert!(matches("*", "\"1\""));
    assert!(!matches("1", "\"1\""));
    assert!(!matches("\"11\"", "\"1\""));
}
