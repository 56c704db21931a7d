use proptest::prelude::*;

use crate::{BadPath, CanonicalPath};

fn canonical(raw: &str) -> Result<String, BadPath> {
    CanonicalPath::new(raw).map(|path| path.as_str().to_owned())
}

#[test]
fn escapes_of_unreserved_characters_are_decoded_and_others_upper_case() {
    assert_eq!(canonical("/%61%2d/%c3%a4"), Ok("/a-/%C3%A4".into()));
    assert_eq!(canonical("/a%3bb%24"), Ok("/a%3Bb%24".into()));
    assert_eq!(canonical("/%2525"), Ok("/%2525".into()));
    assert_eq!(canonical("/a|b"), Ok("/a%7Cb".into()));
}

#[test]
fn a_trailing_slash_is_kept() {
    assert_eq!(canonical("/a/"), Ok("/a/".into()));
    assert_eq!(canonical("/"), Ok("/".into()));
}

#[test]
fn what_servers_disagree_about_is_refused() {
    for (raw, why) in [
        ("a", BadPath::NotAbsolute),
        ("", BadPath::NotAbsolute),
        ("*", BadPath::NotAbsolute),
        ("//", BadPath::EmptySegment),
        ("/a//b", BadPath::EmptySegment),
        ("/a/../b", BadPath::DotSegment),
        ("/a/%2e%2E/b", BadPath::DotSegment),
        ("/a/.%2e", BadPath::DotSegment),
        ("/./a", BadPath::DotSegment),
        ("/a/.", BadPath::DotSegment),
        ("/a%2fb", BadPath::EscapedSeparator),
        ("/a%5Cb", BadPath::EscapedSeparator),
        ("/a\\b", BadPath::BadCharacter),
        ("/a%00", BadPath::BadCharacter),
        ("/a%0d%0a", BadPath::BadCharacter),
        ("/a%7f", BadPath::BadCharacter),
        ("/a%C2%85", BadPath::BadCharacter),
        ("/a\tb", BadPath::BadCharacter),
        ("/a b", BadPath::BadCharacter),
        ("/a#b", BadPath::BadCharacter),
        ("/a;b=1", BadPath::Semicolon),
        ("/a/..;/b", BadPath::Semicolon),
        ("/%zz", BadPath::BrokenEscape),
        ("/%4", BadPath::BrokenEscape),
        ("/%", BadPath::BrokenEscape),
        ("/%ff", BadPath::NotUtf8),
        ("/%c0%af", BadPath::NotUtf8),
        ("/%ed%a0%80", BadPath::NotUtf8),
    ] {
        assert_eq!(canonical(raw), Err(why), "{raw:?}");
    }
}

proptest! {
    #[test]
    fn the_canonical_form_of_a_canonical_path_is_itself(raw in "/([a-z.;%/\\\\~$ä]|%[0-9a-fA-F]{2}){0,20}") {
        if let Ok(path) = canonical(&raw) {
            prop_assert_eq!(canonical(&path), Ok(path.clone()));
            let plain = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
            prop_assert!(!plain.contains(['\\', '\0']));
            prop_assert!(!plain.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert_eq!(plain.matches('/').count(), path.matches('/').count());
        }
    }

    #[test]
    fn any_text_is_taken_without_a_panic(raw in "\\PC{0,40}") {
        let _ = canonical(&raw);
        let _ = crate::Pattern::parse(&raw);
        let _ = crate::canonical_host(&raw);
    }
}
