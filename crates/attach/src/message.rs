//! What guardian and heapray tell each other: frames of 64-bit words over a socket pair.
//!
//! The guardian first sends one `Ready` or `Failed`, later at most one `Ended`. heapray sends nothing; it closes its end.
//! Both sides are the same program, so there is no version; what does not parse is an error all the same.

use std::io::{self, Read, Write};
use std::time::Duration;

use heapray_linux::arch::REGISTER_COUNT;

use crate::fault::{Fault, Step};
use crate::leave::Rest;

/// More words than any process has threads times registers.
const MAX_WORDS: u64 = 1 << 26;

/// A thread as it was stopped, as the guardian saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadWords {
    pub(crate) tid: i32,
    pub(crate) thread_pointer: u64,
    pub(crate) registers: [u64; REGISTER_COUNT],
}

/// Why the guardian gave the image up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    /// heapray asked for it.
    Released = 1,
    /// The time budget ended.
    Time = 2,
    /// The target's memory limit came near.
    Memory = 3,
    /// Somebody killed the copy.
    Killed = 4,
    /// The target ended (in place only: a copy outlives it).
    Exited = 5,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The image can be read from the memory of `source`.
    Ready { source: i32, pause: Duration, fork_cost: Duration, threads: Vec<ThreadWords> },
    /// There is none.
    Failed(Fault),
    /// It is no more. `pause`: how long the target was stopped in all.
    Ended { why: End, pause: Duration },
    /// An agent records; the guardian has its memory file open under this descriptor.
    Attached { base: u64, descriptor: i32, pause: Duration },
    /// An agent's hooks are out.
    Left { rest: Rest, pause: Duration },
}

impl Message {
    /// Sends this message.
    pub(crate) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let words = self.words();
        let mut bytes = Vec::with_capacity(8 * words.len() + 8);
        bytes.extend_from_slice(&(words.len() as u64).to_le_bytes());
        words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        to.write_all(&bytes)
    }

    /// Receives the next message; waits for it.
    pub(crate) fn receive(from: &mut impl Read) -> io::Result<Self> {
        let mut word = [0; 8];
        from.read_exact(&mut word)?;
        let n = u64::from_le_bytes(word);
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        if n > MAX_WORDS {
            return Err(damaged());
        }
        let mut words = Vec::new();
        for _ in 0..n {
            from.read_exact(&mut word)?;
            words.push(u64::from_le_bytes(word));
        }
        Self::parse(&words).ok_or_else(damaged)
    }

    fn words(&self) -> Vec<u64> {
        match self {
            Self::Ready { source, pause, fork_cost, threads } => {
                let mut words = vec![1, from_i32(*source), nanos(*pause), nanos(*fork_cost)];
                for thread in threads {
                    words.extend([from_i32(thread.tid), thread.thread_pointer]);
                    words.extend(thread.registers);
                }
                words
            }
            Self::Failed(fault) => vec![2, fault.step as u64, from_i32(fault.tid), from_i32(fault.number)],
            Self::Ended { why, pause } => vec![3, *why as u64, nanos(*pause)],
            Self::Attached { base, descriptor, pause } => {
                vec![4, *base, from_i32(*descriptor), nanos(*pause)]
            }
            Self::Left { rest, pause } => vec![5, *rest as u64, nanos(*pause)],
        }
    }

    fn parse(words: &[u64]) -> Option<Self> {
        match *words {
            [1, source, pause, fork_cost, ref rest @ ..] => {
                let threads = rest.chunks(2 + REGISTER_COUNT).map(thread).collect::<Option<Vec<_>>>()?;
                let (pause, fork_cost) = (Duration::from_nanos(pause), Duration::from_nanos(fork_cost));
                Some(Self::Ready { source: to_i32(source), pause, fork_cost, threads })
            }
            [2, step, tid, number] => {
                Some(Self::Failed(Fault::new(Step::from_number(step)?, to_i32(tid), to_i32(number))))
            }
            [3, why, pause] => {
                let all = [End::Released, End::Time, End::Memory, End::Killed, End::Exited];
                let why = all.into_iter().find(|end| *end as u64 == why)?;
                Some(Self::Ended { why, pause: Duration::from_nanos(pause) })
            }
            [4, base, descriptor, pause] => Some(Self::Attached {
                base,
                descriptor: to_i32(descriptor),
                pause: Duration::from_nanos(pause),
            }),
            [5, rest, pause] => {
                Some(Self::Left { rest: Rest::from_number(rest)?, pause: Duration::from_nanos(pause) })
            }
            _ => None,
        }
    }
}

fn thread(words: &[u64]) -> Option<ThreadWords> {
    let (head, registers) = words.split_at_checked(2)?;
    Some(ThreadWords { tid: to_i32(head[0]), thread_pointer: head[1], registers: registers.try_into().ok()? })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn from_i32(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}

fn to_i32(word: u64) -> i32 {
    i32::try_from(word.cast_signed()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &Message) {
        let mut bytes = Vec::new();
        message.send(&mut bytes).expect("a vector takes all");
        assert_eq!(&Message::receive(&mut bytes.as_slice()).expect("ours"), message);
        bytes.pop();
        assert!(Message::receive(&mut bytes.as_slice()).is_err());
    }

    #[test]
    fn messages_survive_the_round_trip() {
        let thread = ThreadWords { tid: 7, thread_pointer: 8, registers: [u64::MAX; REGISTER_COUNT] };
        let second = Duration::from_secs(1);
        check(&Message::Ready {
            source: 5,
            pause: second,
            fork_cost: second / 2,
            threads: vec![thread.clone(), thread],
        });
        check(&Message::Failed(Fault::new(Step::Clone, -1, 12)));
        check(&Message::Ended { why: End::Memory, pause: second });
        check(&Message::Attached { base: 4096, descriptor: 5, pause: second });
        check(&Message::Left { rest: Rest::Thread, pause: second });
    }
}
