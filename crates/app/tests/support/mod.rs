//! The real binary, as its users have it: started, asked, killed.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base::peer::{HttpPeer, Limits, Peer as _};
use base::time::Stopwatch;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server process. Dropping it kills it, as a power cut would.
pub struct Server {
    child: Child,
    pub ready: Value,
}

impl Server {
    /// Starts `cardea` and reads the line that says it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        Self::try_start(arguments).unwrap_or_else(|log| panic!("cardea {arguments:?} did not start:\n{log}"))
    }

    pub fn try_start(arguments: &[&str]) -> Result<Self, String> {
        let mut child = command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("stdout is read");
        let mut stderr = child.stderr.take().expect("stderr");
        match serde_json::from_str(&line) {
            Ok(ready) => {
                // Read on, so that the server never waits for us.
                std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
                Ok(Self { child, ready })
            }
            Err(_) => {
                let mut log = String::new();
                let _ended = child.wait();
                stderr.read_to_string(&mut log).expect("stderr is read");
                Err(log)
            }
        }
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.ready.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {}", self.ready))
    }

    pub fn kill(mut self) {
        self.child.kill().expect("the process is killed");
        self.child.wait().expect("the process has ended");
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("the process has ended").code()
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the process is signalled");
        self.child.wait().expect("the process has ended").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// SIGTERM to a process that is not our child, but one of our child's.
pub fn terminate(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the process is signalled");
}

/// A development instance with a folder of its own.
pub struct Dev {
    pub server: Server,
    pub data: PathBuf,
    _folder: std::sync::Arc<TempDir>,
    port: u16,
}

impl Dev {
    pub fn start() -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self::start_in(folder)
    }

    fn start_in(folder: std::sync::Arc<TempDir>) -> Self {
        let data = folder.path().join("data");
        // Another test may take a port between looking and binding.
        for _ in 0..5 {
            let port = free_ports();
            let arguments = ["dev", "--json", "--port", &port.to_string(), "--data", data.to_str().unwrap()];
            match Server::try_start(&arguments) {
                Ok(server) => return Self { server, data, _folder: folder, port },
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("cardea dev did not start:\n{log}"),
            }
        }
        panic!("no free ports");
    }

    /// kill -9, and the same instance again.
    pub fn killed_and_started_again(self) -> Self {
        let Self { server, data, _folder: folder, port } = self;
        server.kill();
        let arguments = ["dev", "--json", "--port", &port.to_string(), "--data", data.to_str().unwrap()];
        let server = Server::start(&arguments);
        Self { server, data, _folder: folder, port }
    }

    pub fn text(&self, pointer: &str) -> String {
        self.server.text(pointer).to_owned()
    }

    /// `cardea …` against this instance.
    pub fn cardea(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        all.extend(["--data", self.data.to_str().unwrap()]);
        run(&all, None)
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.cardea(arguments);
        assert!(output.status.success(), "cardea {arguments:?}: {}", err(&output));
        out(&output)
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        serde_json::from_str(&self.ok(&all)).expect("JSON on stdout")
    }

    pub fn token(&self) -> String {
        self.ok(&["token", "hello-app", "--scope", "echo.read"]).trim().to_owned()
    }
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    command
        .args(arguments)
        .env_remove("CARDEA_SERVER")
        .env_remove("CARDEA_ADMIN_TOKEN")
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

pub fn run(arguments: &[&str], input: Option<&str>) -> Output {
    run_command(command(arguments), input)
}

pub fn run_command(mut command: Command, input: Option<&str>) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let _not_read = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text on stdout")
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text on stderr")
}

/// The first of six free ports beside each other.
pub fn free_ports() -> u16 {
    for _ in 0..200 {
        let [a, b] = base::random::bytes::<2>();
        let first = 20_000 + u16::from_be_bytes([a, b]) % 12_000;
        if (first..first + 6).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no six free ports beside each other");
}

pub async fn get(url: &str, token: Option<&str>) -> Response<Bytes> {
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    call(request.body(Bytes::new()).unwrap()).await
}

pub async fn call(request: Request<Bytes>) -> Response<Bytes> {
    let limits = Limits { time: PATIENCE, body_bytes: 4 << 20 };
    let uri = request.uri().clone();
    HttpPeer::new(None).call(request, limits).await.unwrap_or_else(|error| panic!("{uri}: {error}"))
}

pub fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("{:?} is no JSON", response.body()))
}

/// Asks until the answer has this status; what an event has to bring about is waited for, not slept for.
pub async fn until_status(url: &str, token: &str, status: u16) -> Duration {
    let started = Stopwatch::start();
    loop {
        let answer = get(url, Some(token)).await;
        if answer.status().as_u16() == status {
            return started.elapsed();
        }
        assert!(started.elapsed() < PATIENCE, "{url} still answers {}", answer.status());
        tokio::task::yield_now().await;
    }
}

pub fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("a file is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a file is closed");
}
