use base::{Secret, Time, handle};
use jose::seal::SealingKey;
use proptest::prelude::*;

use super::*;

fn handles() -> Handles {
    Handles::new(&SealingKey::new(&Secret::new(vec![7; 32])).unwrap())
}

fn token() -> AccessToken {
    AccessToken {
        grant_id: GrantId("0192f0c1a2b37c4d8e5f60718293a4b5".to_owned()),
        epoch: 3,
        client_epoch: 0,
        scope_set: 700,
        audience_set: 1,
        issued_at: Time::from_ms(1_767_225_600_123),
        expires_at: Time::from_ms(1_767_226_500_123),
        jti: TokenId("abcdefghijklmnop".to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sealed_is_opened(epoch in 0..i64::MAX, set in 0..i64::MAX, at in 0..i64::MAX / 2, ttl in 0..i64::MAX / 2) {
        let token = AccessToken {
            epoch, client_epoch: set, scope_set: set, audience_set: epoch,
            issued_at: Time::from_ms(at), expires_at: Time::from_ms(at + ttl), ..token()
        };

        prop_assert_eq!(handles().open_access(handles().seal_access(&token).expose()), Some(token));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = AccessToken::from_bytes(&bytes);
    }

    #[test]
    fn one_changed_bit_is_noticed(at in 0_usize..600) {
        let sealed = handle::decode(handle::ACCESS_TOKEN, handles().seal_access(&token()).expose()).unwrap();
        let mut changed = sealed;
        let bit = at % (changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);

        prop_assert_eq!(handles().open_access(&handle::encode(handle::ACCESS_TOKEN, &changed)), None);
    }
}

#[test]
fn an_id_that_is_no_uuid_survives_too() {
    let odd = AccessToken { grant_id: GrantId("ABC-1".to_owned()), ..token() };

    assert_eq!(handles().open_access(handles().seal_access(&odd).expose()), Some(odd));
}

#[test]
fn two_tokens_of_the_same_content_differ_and_tell_nothing() {
    let (first, second) = (handles().seal_access(&token()), handles().seal_access(&token()));

    assert_ne!(first.expose(), second.expose());
    assert!(first.expose().len() < 140, "{}", first.expose().len());
}

#[test]
fn a_refresh_token_of_the_same_generation_is_the_same() {
    let refresh = RefreshToken { grant_id: token().grant_id, generation: 4 };
    let next = RefreshToken { generation: 5, ..refresh.clone() };

    let sealed = handles().seal_refresh(&refresh);

    assert_eq!(sealed.expose(), handles().seal_refresh(&refresh).expose());
    assert_ne!(sealed.expose(), handles().seal_refresh(&next).expose());
    assert_eq!(handles().open_refresh(sealed.expose()), Some(refresh));
}

#[test]
fn one_kind_of_handle_is_not_taken_for_another() {
    let handles = handles();
    let access = handles.seal_access(&token());
    let reference = handles.seal_reference(&token());
    let refresh = handles.seal_refresh(&RefreshToken { grant_id: token().grant_id, generation: 1 });

    let relabelled = handle::encode(handle::ACCESS_TOKEN, &base64url_decode(&reference).unwrap());
    let refresh_as_access =
        handle::encode(handle::ACCESS_TOKEN, &handle::decode(handle::REFRESH_TOKEN, refresh.expose()).unwrap());
    let access_as_reference = base64url(&handle::decode(handle::ACCESS_TOKEN, access.expose()).unwrap());

    assert_eq!(handles.open_reference(&reference), Some(token()));
    assert_eq!(handles.open_access(&relabelled), None);
    assert_eq!(handles.open_access(&refresh_as_access), None);
    assert_eq!(handles.open_reference(&access_as_reference), None);
    assert_eq!(handles.open_refresh(access.expose()), None);
}

#[test]
fn another_installation_opens_nothing() {
    let other = Handles::new(&SealingKey::new(&Secret::new(vec![8; 32])).unwrap());

    assert_eq!(other.open_access(handles().seal_access(&token()).expose()), None);
}
