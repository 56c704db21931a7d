#![expect(clippy::disallowed_methods, reason = "the one place that makes randomness")]

//! Randomness: the only file that asks the operating system for it.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `N` random bytes from the operating system.
///
/// Without randomness nothing here is safe, so the process stops when the system gives none.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0_u8; N];
    if getrandom::fill(&mut out).is_err() {
        std::process::abort();
    }
    out
}

/// `N` random bytes as base64url text without padding (RFC 4648 §5).
pub fn text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<N>())
}

/// `N` bytes that differ from all others, for ids of requests and traces: not secret, never to be used where guessing one
/// would help anybody. Seeded by the operating system once per thread, so that it costs no system call a request.
pub fn unique<const N: usize>() -> [u8; N] {
    thread_local! {
        static STATE: Cell<[u64; 4]> = Cell::new(seed());
    }
    let mut out = [0_u8; N];
    STATE.with(|cell| {
        let mut state = cell.get();
        for piece in out.chunks_mut(8) {
            for (to, from) in piece.iter_mut().zip(next(&mut state).to_le_bytes()) {
                *to = from;
            }
        }
        cell.set(state);
    });
    out
}

fn seed() -> [u64; 4] {
    [(); 4].map(|()| u64::from_le_bytes(bytes()))
}

/// xoshiro256++ (Blackman and Vigna).
fn next(state: &mut [u64; 4]) -> u64 {
    let [mut a, mut b, mut c, mut d] = *state;
    let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
    let shifted = b << 17;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = d.rotate_left(45);
    *state = [a, b, c, d];
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<16>(), bytes::<16>());
        assert_eq!(text::<32>().len(), 43);
    }

    #[test]
    fn unique_bytes_are_the_published_sequence() {
        let mut state = [1, 2, 3, 4];

        assert_eq!(
            [(); 4].map(|()| next(&mut state)),
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]
        );
    }

    #[test]
    fn unique_bytes_differ_on_every_thread() {
        let here = unique::<16>();
        let there = std::thread::spawn(unique::<16>).join().unwrap();

        assert_ne!(here, unique::<16>());
        assert_ne!(here, there);
    }
}
