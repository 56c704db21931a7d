//! The project's files, as the other rules see them, and the rules on their size and place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::assert_none;
use crate::exceptions::{LONG_FILES, SLICES_WITHOUT_TESTS};

/// STYLE: a file of more lines is a reason to look again.
const LINES: usize = 400;
/// A file of tests is a list, read one at a time.
const TEST_LINES: usize = 500;

pub struct File {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
}

impl File {
    /// The crate whose source this is, and the path below its `src`.
    pub fn source(&self) -> Option<(&str, &str)> {
        let (name, rest) = self.path.strip_prefix("crates/")?.split_once('/')?;
        let below = rest.strip_prefix("src/")?;
        below.ends_with(".rs").then_some((name, below))
    }

    /// Tests of a slice or of a crate: other rules hold there.
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs") || self.path.starts_with("crates/testkit/")
    }

    /// The code outside test modules and comments.
    pub fn code(&self) -> String {
        let own = self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        own.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |code, line| code + line + "\n")
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root of the project")
}

/// All text files that belong to the project: known to git or about to be.
pub fn project() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .expect("git ls-files");
        let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
        let files: Vec<File> = names
            .split('\0')
            .filter(|name| !name.is_empty())
            .filter_map(|name| {
                Some(File { path: name.to_owned(), text: std::fs::read_to_string(root().join(name)).ok()? })
            })
            .collect();
        assert!(files.len() > 20, "the project has more than {} files", files.len());
        files
    })
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for file in project().iter().filter(|file| file.path.ends_with(".rs")) {
        let lines = file.text.lines().count();
        let limit = if file.is_test() { TEST_LINES } else { LINES };
        let excused = LONG_FILES.iter().find(|(path, _, _)| *path == file.path);
        match excused {
            None if lines > limit => {
                findings.push(format!("{}: {lines} lines, more than {limit}: split it", file.path))
            }
            Some((_, most, _)) if lines > *most => {
                findings.push(format!("{}: {lines} lines, and the exception is for {most}", file.path));
            }
            Some(_) if lines <= limit => findings.push(format!("{}: is short now, drop its exception", file.path)),
            _ => {}
        }
    }
    for (path, _, _) in LONG_FILES {
        if !project().iter().any(|file| file.path == *path) {
            findings.push(format!("{path}: is gone, drop its exception"));
        }
    }
    assert_none("a file over 400 lines is a reason to look again", &findings);
}

#[test]
fn every_slice_has_tests() {
    let mut findings = Vec::new();
    let slices = project().iter().filter_map(|file| {
        let (name, below) = file.source()?;
        let slice = below.strip_suffix("/mod.rs")?;
        (is_pillar(name) && !slice.contains('/') && slice != "tests").then_some((name, slice))
    });
    for (name, folder) in slices {
        let slice = format!("crates/{name}/src/{folder}");
        let has = project().iter().any(|file| {
            let inside = file.path.strip_prefix(&slice).and_then(|rest| rest.strip_prefix('/'));
            inside.is_some_and(|rest| rest.contains("tests"))
        });
        let excused = SLICES_WITHOUT_TESTS.iter().any(|(path, _)| *path == slice);
        if !has && !excused {
            findings.push(format!("{slice}: has no tests.rs"));
        }
        if has && excused {
            findings.push(format!("{slice}: has tests now, drop its exception"));
        }
    }
    for (path, tested) in SLICES_WITHOUT_TESTS {
        if tested.ends_with(".rs") && !project().iter().any(|file| file.path == *tested) {
            findings.push(format!("{path}: is tested in {tested}, which does not exist"));
        }
        if !project().iter().any(|file| file.path == format!("{path}/mod.rs")) {
            findings.push(format!("{path}: is gone, drop its exception"));
        }
    }
    assert_none("each slice has tests that try to break its rules", &findings);
}

fn is_pillar(name: &str) -> bool {
    ["gateway", "identity", "integration", "management", "entitlement"].contains(&name)
}

/// STANDARDS.md maps each specification to slices and tests; a map with wrong roads is worse than none.
#[test]
fn paths_named_in_documents_exist() {
    let mut findings = Vec::new();
    for document in project().iter().filter(|file| file.path.ends_with(".md")) {
        for quoted in document.text.split('`').skip(1).step_by(2) {
            let path = quoted.split(['#', ':', ' ']).next().unwrap_or_default().trim_end_matches('/');
            let ours =
                ["crates/", "scripts/", "e2e/", "bench/", "docs/", ".ci/"].iter().any(|top| path.starts_with(top));
            let pattern =
                path.contains(['*', '{', '<', '…']) || path.starts_with("e2e/out") || path.starts_with("docs/adr/NNNN");
            if ours && !pattern && !root().join(path).exists() {
                findings.push(format!("{}: `{path}` does not exist", document.path));
            }
        }
    }
    assert_none("each path that a document names exists", &findings);
}
