//! Rules over what source and documents say.

use crate::assert_none;
use crate::exceptions::SELF_STARTING;
use crate::files::{File, project};

/// Words, the places that may use them, why the others may not.
const AT_HOME: &[(&[&str], &[&str], &str)] = &[
    (
        &["SystemTime::now(", "Timestamp::now(", "Zoned::now(", "Utc::now("],
        &["base/time.rs"],
        "only base/time.rs reads the clock",
    ),
    (&["getrandom::", "rand::random", "thread_rng("], &["base/random.rs"], "only base/random.rs makes randomness"),
    (&["env::var(", "env::var_os(", "env::vars("], &["app/", "testkit/db/"], "only `app` reads the environment"),
    (
        &["hyper::server", "httparse::", "tokio_rustls::"],
        &["gateway/edge/", "app/", "store/postgres/tls.rs"],
        "sockets are the edge's matter",
    ),
    (&["process::exit("], &[], "exit codes are returned from main"),
    (&["println!(", "eprintln!("], &["app/"], "only the command line prints"),
    (&["std::thread::sleep(", "#[ignore"], &[], "nothing sleeps, no test is put aside"),
];

#[test]
fn words_stay_at_home() {
    let mut findings = Vec::new();
    for file in project() {
        let Some((name, below)) = file.source() else { continue };
        if file.is_test() {
            continue;
        }
        let place = format!("{name}/{below}");
        let code = file.code();
        for (words, homes, why) in AT_HOME {
            if homes.iter().any(|home| place.starts_with(home)) {
                continue;
            }
            for word in words.iter().filter(|word| code.contains(**word)) {
                findings.push(format!("{}: `{word}`: {why}", file.path));
            }
        }
    }
    assert_none("who may say what", &findings);
}

#[test]
fn tests_do_not_sleep_or_hide() {
    let mut findings = Vec::new();
    for file in
        project().iter().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("crates/app/tests/tidy"))
    {
        for word in ["thread::sleep(", "#[ignore", "todo!(", "unimplemented!("] {
            let starts_itself = word == "#[ignore" && SELF_STARTING.contains(&file.path.as_str());
            if file.text.contains(word) && !starts_itself {
                findings.push(format!("{}: `{word}`", file.path));
            }
        }
    }
    assert_none("no sleeping and no test put aside", &findings);
}

/// The project speaks of the product alone: not of the machine it was written on, not of where packages come from.
#[test]
fn the_project_speaks_of_the_product() {
    // In two parts each, so that this file does not say them.
    let refused = [
        ("../", "shared"),
        ("/wo", "rk/"),
        ("issues", " show"),
        ("registry.", "npmjs"),
        ("files.pythonhosted", ".org"),
        ("pypi", ".org"),
        ("index.crates", ".io"),
        ("static.crates", ".io"),
        ("deb.debian", ".org"),
        ("CLAUDE", ".md"),
        ("/home", "/user"),
    ]
    .map(|(one, two)| format!("{one}{two}"));

    let mut findings = Vec::new();
    for file in project().iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.text.lines().enumerate() {
            for word in refused.iter().filter(|word| is_said(line, word)) {
                findings.push(format!("{}:{}: `{word}`", file.path, number + 1));
            }
        }
    }
    assert_none("no file of the project says these", &findings);
}

/// The same name inside a longer path or address is not the folder of a machine.
fn is_said(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !word.starts_with('/') || !line[..at].ends_with(|c: char| c.is_alphanumeric()))
}

#[test]
fn scripts_are_strict() {
    let is_script = |file: &&File| file.path.ends_with(".sh");
    let findings: Vec<String> = project()
        .iter()
        .filter(is_script)
        .filter(|file| file.text.starts_with("#!") && !file.text.contains("\nset -"))
        .map(|file| format!("{}: has no `set -…`", file.path))
        .collect();
    assert_none("a script stops at an error, or says how it goes on", &findings);
}
