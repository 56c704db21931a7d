//! argon2id in a bounded queue on threads of its own, so that a flood of logins neither starves the rest
//! of the process nor takes all memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base::Secret;
use tokio::sync::oneshot;

use crate::config;

pub const MIN_CHARACTERS: usize = 8;
pub const MAX_BYTES: usize = 1024;

/// A password that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    #[error("a password has at least 8 characters")]
    Short,
    #[error("a password has at most 1024 bytes")]
    Long,
}

/// Length is all that is asked of a password.
pub fn check(password: &str) -> Result<(), Weak> {
    if password.len() > MAX_BYTES {
        return Err(Weak::Long);
    }
    if password.chars().count() < MIN_CHARACTERS {
        return Err(Weak::Short);
    }
    Ok(())
}

/// A password's hash as a PHC string, which names its own parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub(super) fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_stored(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// All workers are busy and the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked; try again")]
pub struct Busy;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub right: bool,
    /// The hash was made with other parameters than today's.
    pub outdated: bool,
}

/// The queue and its threads; they end when this is dropped.
pub struct Passwords {
    queue: SyncSender<Job>,
    parameters: Parameters,
    /// Checked where there is no hash to check, so that the answer takes as long.
    nobody: PasswordHash,
}

enum Job {
    Hash { password: Secret<String>, reply: oneshot::Sender<PasswordHash> },
    Check { password: Secret<String>, hash: PasswordHash, reply: oneshot::Sender<Checked> },
}

#[derive(Debug, Clone)]
struct Parameters(Params);

/// The settings ask for something that argon2 does not do, or the system gives no thread.
#[derive(Debug, thiserror::Error)]
pub enum BadPasswordSettings {
    #[error("passwords: argon2id does not take these parameters: {0}")]
    Parameters(argon2::Error),
    #[error("passwords: the system gives no thread for hashing")]
    Thread(#[source] std::io::Error),
}

impl Passwords {
    pub fn start(config: config::Passwords) -> Result<Self, BadPasswordSettings> {
        let params = Params::new(config.memory_kib, config.passes, config.lanes, None);
        let parameters = Parameters(params.map_err(BadPasswordSettings::Parameters)?);
        let (queue, jobs) = sync_channel(config.queue.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..config.workers.max(1) {
            let (jobs, parameters) = (jobs.clone(), parameters.clone());
            let thread = std::thread::Builder::new().name(format!("password-{number}"));
            thread.spawn(move || work(&jobs, &parameters)).map_err(BadPasswordSettings::Thread)?;
        }
        let nobody = parameters.hash(&base::random::text::<32>());
        Ok(Self { queue, parameters, nobody })
    }

    pub async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, Busy> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Hash { password, reply })?;
        answer.await.map_err(|_| Busy)
    }

    /// Checks a password. Without a hash it works as long, and the password is wrong.
    pub async fn check(&self, password: Secret<String>, hash: Option<PasswordHash>) -> Result<Checked, Busy> {
        let (reply, answer) = oneshot::channel();
        let somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        self.enqueue(Job::Check { password, hash, reply })?;
        let checked = answer.await.map_err(|_| Busy)?;
        Ok(Checked { right: checked.right && somebody, ..checked })
    }

    fn enqueue(&self, job: Job) -> Result<(), Busy> {
        self.queue.try_send(job).map_err(|_| Busy)
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("parameters", &self.parameters.0).finish_non_exhaustive()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, parameters: &Parameters) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // Who asked may have gone meanwhile; then nobody waits for the reply, nor is the work worth doing.
        match job {
            Ok(Job::Hash { password, reply }) if !reply.is_closed() => {
                let _ = reply.send(parameters.hash(password.expose()));
            }
            Ok(Job::Check { password, hash, reply }) if !reply.is_closed() => {
                let _ = reply.send(parameters.check(password.expose(), &hash));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

impl Parameters {
    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.0.clone())
    }

    fn hash(&self, password: &str) -> PasswordHash {
        let salt = base::random::bytes::<16>();
        match self.argon2().hash_password_with_salt(password.as_bytes(), &salt) {
            Ok(hash) => PasswordHash(hash.to_string()),
            // Salt and parameters are good and the password is short enough: it fails only without memory.
            Err(_) => std::process::abort(),
        }
    }

    fn check(&self, password: &str, hash: &PasswordHash) -> Checked {
        let Ok(parsed) = phc::PasswordHash::new(&hash.0) else {
            return Checked { right: false, outdated: true };
        };
        // A longer one was never set; it is not hashed at all, whoever it is for.
        let right = password.len() <= MAX_BYTES && self.argon2().verify_password(password.as_bytes(), &parsed).is_ok();
        let today = |params: &Params| {
            let ours = &self.0;
            (params.m_cost(), params.t_cost(), params.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost())
        };
        let current = parsed.algorithm == Algorithm::Argon2id.ident()
            && parsed.version == Some(Version::V0x13.into())
            && Params::try_from(&parsed).is_ok_and(|params| today(&params));
        Checked { right, outdated: !current }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> config::Passwords {
        config::Passwords { memory_kib: 64, passes: 1, lanes: 1, workers: 2, queue: 8 }
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::start(small()).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.as_stored().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));

        for (password, right) in [
            ("correct horse", true),
            ("correct hors", false),
            ("Correct horse", false),
            ("", false),
            ("correct horse ", false),
        ] {
            assert_eq!(passwords.check(password.into(), Some(hash.clone())).await.unwrap().right, right, "{password}");
        }
        assert!(!passwords.check("".into(), None).await.unwrap().right);
        let broken = PasswordHash::from_stored("!".into());
        assert!(!passwords.check("correct horse".into(), Some(broken)).await.unwrap().right);
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_right_and_outdated() {
        let old = Passwords::start(small()).unwrap();
        let new = Passwords::start(config::Passwords { passes: 2, ..small() }).unwrap();
        let hash = old.hash("correct horse".into()).await.unwrap();

        let checked = new.check("correct horse".into(), Some(hash.clone())).await.unwrap();
        assert_eq!(checked, Checked { right: true, outdated: true });
        assert!(!old.check("correct horse".into(), Some(hash)).await.unwrap().outdated);
    }

    #[tokio::test]
    async fn a_full_queue_says_so_and_later_works_again() {
        let passwords =
            Passwords::start(config::Passwords { workers: 1, queue: 1, memory_kib: 4096, ..small() }).unwrap();

        let all = futures_util::future::join_all((0..40).map(|_| passwords.hash("correct horse".into()))).await;

        assert!(all.iter().any(Result::is_ok) && all.iter().any(Result::is_err));
        assert!(passwords.hash("correct horse".into()).await.is_ok());
    }

    #[test]
    fn length_is_all_that_is_asked() {
        assert_eq!(check("1234567"), Err(Weak::Short));
        assert_eq!(check("ääääääää"), Ok(()));
        assert_eq!(check(&"x".repeat(1024)), Ok(()));
        assert_eq!(check(&"x".repeat(1025)), Err(Weak::Long));
    }
}
