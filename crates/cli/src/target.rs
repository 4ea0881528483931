//! TARGET: a process id or a snapshot file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A running process.
    Pid(u32),
    /// A snapshot file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    /// Only digits are a pid (`./4242` names a file); everything else is a path.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a process id or a file is needed".into());
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text} is no process id; write ./{text} for a file of that name")),
            Ok(pid) => Ok(Self::Pid(pid)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_pid_and_the_rest_is_a_file() {
        assert_eq!("4242".parse(), Ok(Target::Pid(4242)));
        assert_eq!("./4242".parse(), Ok(Target::File("./4242".into())));
        assert_eq!("a.heapray".parse(), Ok(Target::File("a.heapray".into())));
    }

    #[test]
    fn impossible_pids_are_refused_with_advice() {
        for text in ["0", "99999999999999999999"] {
            let problem = text.parse::<Target>().expect_err("no such pid");
            assert!(problem.contains("./"), "{problem}");
        }
    }
}
