//! `growth`: what became more between two snapshots.

use crate::flags::{FormatFlags, LiveFlags, ProcessFlags, SourceFlags};
use crate::target::Target;
use crate::{load, output};
use anyhow::{Context, bail};
use clap::Args;
use heapray_query::{Comparison, growth};
use heapray_report::text;

/// Options of `heapray growth`.
#[derive(Args, Debug)]
pub(crate) struct GrowthFlags {
    /// The earlier snapshot.
    #[arg(value_name = "BEFORE")]
    before: Target,
    /// The later snapshot, or the process as it is now.
    #[arg(value_name = "AFTER")]
    after: Target,
    #[command(flatten)]
    live: LiveFlags,
    /// Process to ask about, where the files hold several; two of them: the one in BEFORE, the one in AFTER.
    #[arg(long = "process", value_name = "PID", value_delimiter = ',')]
    processes: Vec<u32>,
    /// Compare different processes too: the same program after a restart, two workers of one service.
    #[arg(long)]
    any_process: bool,
    /// Rows to print of each list.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the differences.
pub(crate) fn run(flags: &GrowthFlags) -> anyhow::Result<()> {
    let [of_before, of_after] = processes(&flags.processes)?;
    let open = |target: &Target, process| {
        let process = ProcessFlags { process };
        load::session(&SourceFlags { target: target.clone(), live: flags.live, process })
    };
    let (before, after) = (open(&flags.before, of_before)?, open(&flags.after, of_after)?);
    let how = Comparison { limit: flags.limit, any_process: flags.any_process };
    let answer = growth(&before, &after, how)
        .with_context(|| format!("cannot compare {} and {}", flags.before, flags.after))?;
    output::print(flags.format, &answer, text::growth)
}

/// Which process is meant before and after.
fn processes(named: &[u32]) -> anyhow::Result<[Option<u32>; 2]> {
    match *named {
        [] => Ok([None, None]),
        [both] => Ok([Some(both), Some(both)]),
        [before, after] => Ok([Some(before), Some(after)]),
        _ => bail!("cannot compare {} processes: name one or two with --process", named.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::processes;

    #[test]
    fn one_process_is_meant_in_both_and_two_in_turn() {
        assert_eq!(processes(&[7]).expect("valid"), [Some(7), Some(7)]);
        assert_eq!(processes(&[7, 8]).expect("valid"), [Some(7), Some(8)]);
        assert!(processes(&[7, 8, 9]).is_err());
    }
}
