//! `/proc/PID/stat`: the few fields that matter to somebody who wants to stop or reap a process.
//!
//! The name stands in parentheses and may contain anything, so fields are counted from the last `)`.

use std::io;

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Thread name, at most 15 bytes, lossy.
    pub name: String,
    /// `R`unning, `S`leeping, `D` uninterruptible, `T` stopped, `t` traced, `Z`ombie, `X` dead, `I` idle.
    pub state: char,
    /// Parent process, in our pid namespace; 0 where it is outside.
    pub parent: i32,
    /// Start, in clock ticks since boot: with the pid it names a process for good.
    pub start_ticks: u64,
    /// User plus system time, in clock ticks.
    pub cpu_ticks: u64,
    /// Signal sent to the parent at exit; 0 for a child that plain `waitpid` does not see.
    pub exit_signal: i32,
    /// Status as `wait` gives it, of a zombie; 0 where we may not see it.
    pub exit_code: i32,
    /// Number of threads.
    pub threads: u32,
}

/// The `stat` of process `pid`.
///
/// # Errors
/// Those of reading the file (`NotFound` where the process is gone), `InvalidData` where it does not parse.
pub fn stat(pid: i32) -> io::Result<Stat> {
    read(format!("/proc/{pid}/stat"))
}

/// The `stat` of one thread.
///
/// # Errors
/// As [`stat`].
pub fn thread_stat(pid: i32, tid: i32) -> io::Result<Stat> {
    read(format!("/proc/{pid}/task/{tid}/stat"))
}

fn read(path: String) -> io::Result<Stat> {
    let text = std::fs::read(&path)?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, path))
}

/// Parses the text of a `stat` file.
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The field numbered n in the manual is fields[n - 3].
    let number = |n: usize| fields.get(n - 3).and_then(|field| field.parse::<i64>().ok());
    let ticks = |n: usize| number(n).map_or(0, i64::cast_unsigned);
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: i32::try_from(number(4)?).ok()?,
        start_ticks: ticks(22),
        cpu_ticks: ticks(14) + ticks(15),
        exit_signal: number(38).and_then(|n| i32::try_from(n).ok()).unwrap_or(-1),
        exit_code: number(52).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        threads: number(20).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let mut text = b"12 (a) R 7 (b)) Z 4".to_vec();
        for n in 5..=52 {
            text.extend_from_slice(format!(" {n}").as_bytes());
        }
        let stat = parse_stat(&text).expect("parses");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) R 7 (b)", 'Z', 4));
        assert_eq!((stat.start_ticks, stat.exit_signal, stat.exit_code), (22, 38, 52));
        assert_eq!(stat.cpu_ticks, 14 + 15);
    }

    #[test]
    fn damaged_text_is_refused() {
        assert_eq!(parse_stat(b""), None);
        assert_eq!(parse_stat(b"1 )x( R"), None);
        assert_eq!(parse_stat(b"1 (x)"), None);
    }
}
