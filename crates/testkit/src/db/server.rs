#![expect(clippy::panic, reason = "a test without its database must fail loudly")]

//! Throw-away PostgreSQL servers, from the packages of the operating system.
//!
//! A server is a folder: `data`, `socket`, and two lock files. Whoever starts or stops the server holds
//! `lock`; whoever uses it shares `users`, which the kernel gives back also after a crash. A shell process
//! per server watches `users` and removes the server when nobody has used it for some seconds.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use store::Config;
use tempfile::TempDir;

/// Part of the folder's name: to be raised when a change here does not fit servers already running.
const LAYOUT: u32 = 1;
const IDLE_SECONDS: u32 = 8;

const OPTIONS: &str = "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c autovacuum=off -c max_connections=400 -c shared_buffers=32MB -c max_wal_size=512MB";

/// Ends the server when nobody shares the lock on `users` any more. $1 pg_ctl, $2 seconds.
const WATCHDOG: &str = r#"
    exec 8>>lock 9>>users
    idle=0
    while [ -d data ]; do
        sleep 1
        if flock -x -n 9; then idle=$((idle + 1)); flock -u 9; else idle=0; fi
        [ "$idle" -ge "$2" ] && flock -x -n 8 || continue
        if flock -x -n 9; then
            [ -s data/postmaster.pid ] && setpriv --reuid "$(stat -c %u data)" --clear-groups \
                "$1" -D data -m immediate -w stop 8>&- 9>&-
            rm -rf data socket
            exit
        fi
        flock -u 8
    done
"#;

/// The URL of the server that all tests share.
pub(super) fn shared() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| named_by_environment().unwrap_or_else(start_shared))
}

#[expect(clippy::disallowed_methods, reason = "the suite's script says here which server it has started")]
fn named_by_environment() -> Option<String> {
    std::env::var("CARDEA_TEST_PG").ok().filter(|url| !url.is_empty())
}

fn start_shared() -> String {
    /// Shared until the process ends.
    static USED: OnceLock<File> = OnceLock::new();

    let me = fs::metadata("/proc/self").unwrap_or_else(|error| panic!("/proc/self: {error}")).uid();
    let folder = std::env::temp_dir().join(format!("cardea-test-pg-{LAYOUT}-{me}"));
    make_folder(&folder);
    let starting = open(&folder.join("lock"));
    starting.lock().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let server = Folder::new(folder);
    let used = server.share();
    if !server.runs() {
        server.start_anew();
        server.watch(IDLE_SECONDS);
    }
    drop(starting);
    let _ = USED.set(used);
    server.url()
}

/// A server of one test alone, that it can kill and start again.
pub struct PostgresServer {
    folder: Folder,
    _used: File,
    _temporary: TempDir,
}

impl PostgresServer {
    pub fn start() -> Self {
        Self::start_as(Folder::new, "")
    }

    /// It listens on loopback too, and offers TLS there: PEM texts.
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        // Free a moment ago; PostgreSQL cannot be given an open socket.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.unwrap_or_else(|error| panic!("a free port: {error}")).port();
        let files = format!("{certificate}\n{key}");
        Self::start_as(|path| Folder::new(path).with_tls(port), &files)
    }

    fn start_as(folder: impl FnOnce(PathBuf) -> Folder, tls: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}"));
        make_folder(temporary.path());
        let folder = folder(temporary.path().to_owned());
        let used = folder.share();
        folder.init();
        if !tls.is_empty() {
            folder.give("tls.pem", tls);
        }
        folder.start();
        folder.watch(1);
        Self { folder, _used: used, _temporary: temporary }
    }

    /// A fresh schema there.
    pub fn config(&self) -> Config {
        super::fresh_schema(&self.folder.url())
    }

    /// A fresh schema there, reached over loopback under this name of the host, with these parameters of the URL.
    pub fn config_over_tcp(&self, host: &str, parameters: &str) -> Config {
        let port = self.folder.port.unwrap_or_else(|| panic!("this server listens on its socket only"));
        super::fresh_schema(&format!("postgres://cardea@{host}:{port}/postgres?hostaddr=127.0.0.1&{parameters}"))
    }

    /// As after a power cut: nothing is finished, all connections break.
    pub fn kill(&self) {
        self.folder.pg_ctl(&["-m", "immediate", "-w", "stop"]);
    }

    pub fn start_again(&self) {
        self.folder.start();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.folder.runs() {
            self.kill();
        }
    }
}

struct Folder {
    path: PathBuf,
    bin: PathBuf,
    /// `initdb` refuses root, so root becomes this user.
    run_as: Option<(u32, u32)>,
    /// For TLS over loopback; without it there is the socket only.
    port: Option<u16>,
}

impl Folder {
    fn new(path: PathBuf) -> Self {
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        Self { path, bin: programs(), run_as: root.then(unprivileged), port: None }
    }

    fn with_tls(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    fn url(&self) -> String {
        let socket = self.path.join("socket").display().to_string().replace('/', "%2F");
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("postgres://cardea@{socket}{port}/postgres")
    }

    fn share(&self) -> File {
        let users = open(&self.path.join("users"));
        users.lock_shared().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        users
    }

    fn runs(&self) -> bool {
        let Ok(pid) = fs::read_to_string(self.path.join("data/postmaster.pid")) else { return false };
        let pid = pid.lines().next().unwrap_or_default();
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
    }

    fn start_anew(&self) {
        self.init();
        self.start();
    }

    fn init(&self) {
        for part in ["data", "socket"] {
            let part = self.path.join(part);
            let _ = fs::remove_dir_all(&part);
            let made = fs::create_dir(&part).and_then(|()| match self.run_as {
                Some((user, group)) => chown(&part, Some(user), Some(group)),
                None => Ok(()),
            });
            made.unwrap_or_else(|error| panic!("{}: {error}", part.display()));
        }
        let init = ["-D", "data", "-U", "cardea", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
        self.run("initdb", &init);
    }

    /// A file that only the server may read.
    fn give(&self, name: &str, text: &str) {
        let file = self.path.join("data").join(name);
        let given = fs::write(&file, text)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .and_then(|()| match self.run_as {
                Some((user, group)) => chown(&file, Some(user), Some(group)),
                None => Ok(()),
            });
        given.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn start(&self) {
        let mut options = format!("{OPTIONS} -c unix_socket_directories={}", self.path.join("socket").display());
        if let Some(port) = self.port {
            options.push_str(&format!(" -c listen_addresses=127.0.0.1 -c port={port}"));
            options.push_str(" -c ssl=on -c ssl_cert_file=tls.pem -c ssl_key_file=tls.pem");
        }
        self.pg_ctl(&["-l", "data/log", "-w", "-t", "60", "-o", &options, "start"]);
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        self.run("pg_ctl", &[&["-D", "data"], arguments].concat());
    }

    /// Runs one of PostgreSQL's programs to its end. A server that it leaves behind keeps nothing of ours open.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(&self.path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if let Some((user, group)) = self.run_as {
            command.uid(user).gid(group);
        }
        let status = command.status().unwrap_or_else(|error| panic!("{program}: {error}"));
        if !status.success() {
            let log = fs::read_to_string(self.path.join("data/log")).unwrap_or_default();
            panic!("PostgreSQL's {program} {arguments:?} in {}: {status}\n{log}", self.path.display());
        }
    }

    fn watch(&self, idle_seconds: u32) {
        let mut watchdog = Command::new("setsid");
        watchdog.args(["--fork", "bash", "-c", WATCHDOG, "watchdog"]);
        watchdog.arg(self.bin.join("pg_ctl")).arg(idle_seconds.to_string()).current_dir(&self.path);
        watchdog.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = watchdog.status().unwrap_or_else(|error| panic!("setsid: {error}"));
        assert!(status.success(), "the watchdog of PostgreSQL did not start: {status}");
    }
}

/// Others may pass through the folder, since the server may be another user.
fn make_folder(path: &Path) {
    let made = fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn open(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The newest of the installed versions.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| {
            let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            version.and_then(|version| version.parse::<u32>().ok())
        });
    newest.unwrap_or_else(|| panic!("PostgreSQL is not installed: run `make setup`"))
}

fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = users.lines().find(|line| line.starts_with("postgres:"));
    let ids = user.and_then(|line| {
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.unwrap_or_else(|| panic!("there is no user `postgres`: run `make setup`"))
}
