//! How an error reaches the user: one line on stderr, `heapray: what failed, on what, why, what to try`, status 2.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

/// Exit status of an error.
pub(crate) const STATUS_ERROR: u8 = 2;

/// Where and why the last panic happened, for [`report_bug`].
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps the runtime's panic message from stderr; [`report_bug`] says it better.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = info.to_string().replace('\n', " ");
        }
    }));
}

/// Prints an error with its causes; a closed pipe is the reader's decision and no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let line = heapray_report::sanitize(&format!("{error:#}"));
    to_stderr(&format!("heapray: {line}\n"));
    ExitCode::from(STATUS_ERROR)
}

/// Why a file cannot be read, and what to give instead.
pub(crate) fn cannot_read(path: &Path, error: std::io::Error, wanted: &str) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => format!("check its name; {wanted} is needed"),
        ErrorKind::IsADirectory => format!("name {wanted}"),
        ErrorKind::PermissionDenied => "read it as the user who wrote it, or as root".to_owned(),
        _ => return anyhow::Error::from(error).context(format!("cannot read {}", path.display())),
    };
    anyhow::anyhow!("cannot read {}: {error}; {advice}", path.display())
}

/// Why a file cannot be written, and what to give instead.
pub(crate) fn cannot_write(path: &Path, error: std::io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => "its directory is not there: make it, or give another -o FILE",
        ErrorKind::IsADirectory => "give the name of a file in it with -o",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "give a -o FILE in a directory that you may write to"
        }
        _ => return anyhow::Error::from(error).context(format!("cannot write {}", path.display())),
    };
    anyhow::anyhow!("cannot write {}: {error}; {advice}", path.display())
}

/// Prints that heapray itself is wrong.
pub(crate) fn report_bug() -> ExitCode {
    let what = LAST_PANIC.lock().map(|last| last.clone()).unwrap_or_default();
    let what = heapray_report::sanitize(&what);
    to_stderr(&format!(
        "heapray: internal error: {what}; the process asked about is untouched; please report this line\n"
    ));
    ExitCode::from(STATUS_ERROR)
}

/// Writes to stderr; where that is closed there is nobody to tell.
pub(crate) fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_pipe_is_found_under_context() {
        let error = anyhow::Error::from(std::io::Error::from(ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_closed_pipe(&error));
    }

    #[test]
    fn other_errors_are_no_closed_pipe() {
        assert!(!is_closed_pipe(&anyhow::anyhow!("something else")));
    }
}
