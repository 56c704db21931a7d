#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

//! The environment of the process: the only file that reads it.

use std::io::IsTerminal as _;
use std::path::Path;

pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// <https://no-color.org>
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

/// Columns of the terminal on stdout; 80 where there is none, so that piped output does not vary.
pub fn columns() -> usize {
    if let Some(columns) = variable("COLUMNS").and_then(|text| text.parse().ok()) {
        return columns;
    }
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

/// The name of this machine.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// This program's file and its arguments, to start it again. To be asked at the start: later the file may
/// have been replaced, and the system no longer knows where it was.
pub fn own_command_line() -> std::io::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    Ok(command)
}

/// How to call this program from the folder the person is in: by name if the shell would find it.
pub fn own_command() -> String {
    let Ok(exe) = std::env::current_exe() else { return "cardea".to_owned() };
    let on_path = variable("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("cardea").canonicalize().is_ok_and(|found| found == exe))
    });
    if on_path {
        return "cardea".to_owned();
    }
    let here = std::env::current_dir().ok();
    match here.as_deref().and_then(|here| exe.strip_prefix(here).ok()) {
        Some(relative) => Path::new(".").join(relative).display().to_string(),
        None => exe.display().to_string(),
    }
}
