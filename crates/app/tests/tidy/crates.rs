//! Rules over the manifests: the arrows between our crates, the fences around libraries, and what may
//! be in the lock file at all.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::assert_none;
use crate::files::{project, root};

/// Who may use whom. A crate that is not here needs an ADR first.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("jose", &["base"]),
    ("store", &["base"]),
    ("policy", &["base"]),
    ("expression", &["base"]),
    ("catalog", &["base"]),
    ("web", &["base"]),
    ("resource", &["base", "jose"]),
    ("integration", &["base", "expression", "catalog"]),
    ("gateway", &["base", "integration", "policy", "catalog", "expression", "jose"]),
    ("identity", &["base", "web", "expression", "jose", "store"]),
    ("management", &["base", "web", "catalog", "jose", "store"]),
    ("entitlement", &["base", "web", "policy", "jose", "store"]),
    ("testkit", &["base", "store"]),
    (
        "app",
        &[
            "base",
            "jose",
            "store",
            "policy",
            "expression",
            "catalog",
            "web",
            "gateway",
            "integration",
            "management",
            "identity",
            "entitlement",
            "resource",
        ],
    ),
];

/// Library, the crates whose manifests may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("aws-lc-rs", &["jose"]),
    ("rusqlite", &["store"]),
    ("tokio-postgres", &["store"]),
    ("deadpool-postgres", &["store"]),
    ("minijinja", &["web"]),
    ("rust-embed", &["web"]),
    ("argon2", &["identity"]),
    ("serde-saphyr", &["catalog", "app"]),
    ("socket2", &["gateway", "app"]),
    ("httparse", &["gateway"]),
    ("hyper", &["base", "gateway", "app", "testkit"]),
    ("hyper-rustls", &["base"]),
    ("tokio-rustls", &["gateway", "app", "testkit", "store"]),
    ("getrandom", &["base"]),
    ("cedar-policy", &["policy"]),
    ("miette", &["policy"]),
    ("cel", &["expression"]),
    ("regex", &["expression"]),
    ("clap", &["app"]),
    ("anyhow", &["app"]),
];

/// Packages that compile or link C; another one is a decision.
const NATIVE: &[&str] = &["aws-lc-sys", "libsqlite3-sys", "libmimalloc-sys", "psm"];

/// Packages that must not come back by a side door, each with its reason.
const REFUSED: &[(&str, &str)] = &[
    ("openssl-sys", "one TLS: rustls"),
    ("native-tls", "one TLS: rustls"),
    ("ring", "one crypto library: aws-lc-rs"),
    ("rsa", "RUSTSEC-2023-0071"),
    ("libxml", "no libxml2"),
    ("serde_yaml", "archived"),
    ("sqlx", "measured: an order of magnitude dearer"),
    ("async-std", "one runtime: tokio"),
];

const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
    "Unlicense",
    "OpenSSL",
    "Apache-2.0 WITH LLVM-exception",
    "bzip2-1.0.6",
];

fn metadata(whole: bool) -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).other_options(vec!["--offline".to_owned(), "--locked".to_owned()]);
    if whole {
        // Packages of other systems are in the lock file, but not on the disk.
        let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        command.other_options(vec![
            "--offline".to_owned(),
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            here,
        ]);
    } else {
        command.no_deps();
    }
    command.exec().expect("cargo metadata")
}

#[test]
fn crates_use_only_whom_they_may() {
    let mut findings = Vec::new();
    let ours: BTreeSet<String> = metadata(false).packages.iter().map(|package| package.name.to_string()).collect();
    for package in metadata(false).packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name.as_str()) else {
            findings.push(format!("`{}` is a new crate: it needs an ADR and its arrows here", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name)) {
            let for_tests = dependency.kind == DependencyKind::Development;
            let fine = allowed.contains(&dependency.name.as_str()) || (for_tests && dependency.name == "testkit");
            if !fine {
                findings.push(format!("`{}` may not use `{}`", package.name, dependency.name));
            }
        }
    }
    assert_none("the arrows of ARCHITECTURE.md", &findings);
}

#[test]
fn libraries_stay_behind_their_fences() {
    let mut findings = Vec::new();
    for package in metadata(false).packages {
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development)
        {
            let fence = FENCES.iter().find(|(library, _)| *library == dependency.name);
            if let Some((library, crates)) = fence
                && !crates.contains(&package.name.as_str())
            {
                findings.push(format!("`{library}` is for {crates:?} only, and `{}` depends on it", package.name));
            }
        }
    }
    assert_none("a fenced library is named in its crate only", &findings);
}

#[test]
fn manifests_are_plain() {
    let mut findings = Vec::new();
    for package in metadata(false).packages {
        if !package.features.is_empty() {
            findings.push(format!("`{}` has features: one binary, one behaviour", package.name));
        }
    }
    for manifest in
        project().iter().filter(|file| file.path.starts_with("crates/") && file.path.ends_with("Cargo.toml"))
    {
        let mut inside = false;
        for line in manifest.text.lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            } else if inside && !line.is_empty() && !line.starts_with('#') && !line.contains("workspace = true") {
                findings.push(format!("{}: `{line}`: versions and features belong to the root's table", manifest.path));
            }
        }
        if !manifest.text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{}: does not take the workspace's lints", manifest.path));
        }
    }
    assert_none("manifests of crates name, the root's manifest decides", &findings);
}

#[test]
fn the_lock_file_holds_nothing_refused() {
    let mut findings = Vec::new();
    let built = built();
    for package in metadata(true).packages.into_iter().filter(|package| built.contains(package.name.as_str())) {
        let name = package.name.as_str();
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            findings.push(format!("`{name}`: {why}"));
        }
        let system =
            package.links.as_deref().is_some_and(|links| !links.contains("prettyplease") && !links.contains("rayon"));
        let compiles = package.dependencies.iter().any(|dependency| {
            dependency.kind == DependencyKind::Build
                && ["cc", "cmake", "pkg-config", "bindgen"].contains(&dependency.name.as_str())
                && !dependency.optional
        });
        if system && compiles && !NATIVE.contains(&name) {
            findings.push(format!("`{name}`: C code of another library"));
        }
        if let Some(source) = &package.source
            && !source.repr.starts_with("registry+")
        {
            findings.push(format!("`{name}`: comes from {}, not from the registry", source.repr));
        }
        let licence = package.license.as_deref().unwrap_or("none named");
        if package.license_file.is_none() && !is_allowed(licence) {
            findings.push(format!("`{name}`: licence {licence}"));
        }
    }
    assert_none("what we build on", &findings);
}

/// What is really compiled: the lock file also has what an optional feature would bring.
fn built() -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--locked", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    let names: BTreeSet<String> = String::from_utf8_lossy(&tree.stdout)
        .lines()
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect();
    assert!(names.contains("tokio"), "cargo tree lists the packages: {}", String::from_utf8_lossy(&tree.stderr));
    names
}

/// SPDX, as far as it occurs: alternatives of conjunctions, brackets around either.
fn is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" OR ").any(|side| side.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}
