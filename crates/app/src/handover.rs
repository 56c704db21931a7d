//! A restart without a closed door: the listening sockets go to the new process before the old one
//! stops. A connection that comes in between waits in the kernel's queue, which both share.
//!
//! Taking follows systemd's protocol (`sd_listen_fds(3)`: `LISTEN_FDS`, sockets from descriptor 3 on),
//! so that sockets from a unit of systemd are taken in the same way. In a hand-over one datagram
//! socket comes with them, on which the new process says that it serves.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use listenfd::ListenFd;

const READY: &[u8] = b"READY=1";
/// The first descriptor after standard input, output and error.
const FIRST_FD: i32 = 3;

/// Sockets that this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<TcpListener>,
    giver: Option<UnixDatagram>,
}

impl Inherited {
    /// Takes what the environment names, once, before any thread is started. What is not a socket of
    /// a kind we know is left alone.
    pub fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..given.len() {
            if let Ok(Some(listener)) = given.take_tcp_listener(index) {
                inherited.listeners.push(listener);
            } else if let Ok(Some(giver)) = given.take_unix_datagram(index) {
                inherited.giver = Some(giver);
            }
        }
        inherited
    }

    /// The socket that listens at this address, if there is one.
    pub fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.listeners.iter().position(|listener| listener.local_addr().is_ok_and(|own| own == address))?;
        Some(self.listeners.swap_remove(at))
    }

    /// Tells the old process that this one serves; sockets that nobody took are closed, so that no
    /// connection waits in them for ever.
    pub fn ready(self) -> io::Result<()> {
        match self.giver {
            Some(giver) => giver.send(READY).map(drop),
            None => Ok(()),
        }
    }
}

/// Why the new process did not take over. The old one goes on as if nothing had been.
#[derive(Debug, thiserror::Error)]
pub enum HandOverFailed {
    #[error("the new process cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("the new process ended before it served: {0}")]
    Ended(ExitStatus),
    #[error("the new process did not serve within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Starts the new process with these sockets and returns when it serves; then the old one drains.
/// A process that fails to serve in time is stopped.
pub async fn hand_over(
    mut command: Command,
    listeners: &[TcpListener],
    within: Duration,
) -> Result<tokio::process::Child, HandOverFailed> {
    let (ours, theirs) = UnixDatagram::pair()?;
    ours.set_nonblocking(true)?;
    let ours = tokio::net::UnixDatagram::from_std(ours)?;
    let mut descriptors = Vec::new();
    for listener in listeners {
        descriptors.push(OwnedFd::from(listener.try_clone()?));
    }
    descriptors.push(OwnedFd::from(theirs));
    let count = descriptors.len();
    let mappings = (FIRST_FD..).zip(descriptors).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
    // LISTEN_PID would have to be the new process's id, which nobody knows before it runs.
    command.env("LISTEN_FDS", count.to_string()).env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
    let mut command = tokio::process::Command::from(command);
    let mut child = command.spawn()?;
    // Our copies of the descriptors given away.
    drop(command);

    // `wait` would close it.
    let stdin = child.stdin.take();
    let mut word = [0_u8; READY.len()];
    let heard = async {
        loop {
            match ours.recv(&mut word).await {
                Ok(length) if word.get(..length) == Some(READY) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(HandOverFailed::Start(error)),
            }
        }
    };
    let outcome = tokio::select! {
        heard = heard => heard,
        ended = child.wait() => Err(HandOverFailed::Ended(ended?)),
        () = tokio::time::sleep(within) => Err(HandOverFailed::TimedOut(within)),
    };
    child.stdin = stdin;
    match outcome {
        Ok(()) => Ok(child),
        Err(failed) => {
            let _ = child.kill().await;
            Err(failed)
        }
    }
}
