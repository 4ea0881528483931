//! One snapshot, from runtime to last chunk.

use crate::census::{Census, Sweep, is_anonymous};
use crate::discover::Discovery;
use crate::emit::{Emitter, Place, Ranges};
use crate::holders::{self, Outside};
use crate::{facts, roots};
use heapray_cpython::{Memory, Region, Runtime, Unsupported, interp};
use heapray_wire::{Chunk, Fact};

/// Where a snapshot is read from.
pub struct Source<'a, M> {
    /// The frozen memory.
    pub memory: &'a mut M,
    /// Its mappings, in address order.
    pub regions: &'a [Region],
    /// Its threads.
    pub threads: &'a [StoppedThread],
    /// The address of an exported symbol (`_PyRuntime`).
    pub symbol: &'a dyn Fn(&str) -> Option<u64>,
    /// What static memory at an address is called: `static Handlers in libpython3.12.so.1.0`.
    pub name_of: &'a dyn Fn(u64) -> Option<String>,
    /// Facts known from outside (process id, resident size, pause): written first.
    pub facts: Vec<Fact>,
    /// Go on where the collector's lists are torn, with what roots and census give.
    pub accept_torn: bool,
    /// Keep the text of every string of up to 80 bytes, not only of names.
    pub values: bool,
}

/// A thread of the target at the stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedThread {
    /// Kernel thread id in the target's own namespace.
    pub tid: u32,
    /// Its `comm`.
    pub name: String,
    /// What lies below it on its stack is dead.
    pub stack_pointer: u64,
}

/// What a snapshot found, in counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// `sys.hexversion`.
    pub version_hex: u32,
    /// Objects, tracked or not.
    pub objects: u64,
    /// Objects on the collector's lists.
    pub tracked: u64,
    /// Those of them in the permanent generation (`gc.freeze`).
    pub frozen: u64,
    /// Edges written.
    pub edges: u64,
    /// Python threads.
    pub n_threads: u64,
    /// Running frames.
    pub n_frames: u64,
    /// Sum of the reference counts of mortal objects.
    pub references: u64,
    /// How much of that sum found edges explain.
    pub explained: u64,
    /// References found beyond an object's count (inferred edges that own nothing).
    pub over_explained: u64,
    /// Objects with more references than explained.
    pub unexplained_objects: u64,
    /// Objects that nothing at all refers to.
    pub lost_objects: u64,
    /// Objects that could be read in part only.
    pub torn_objects: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not a Python that heapray reads.
    #[error("not a Python that heapray reads: found {}; supported: {}", .0.found, .0.supported)]
    Unsupported(Unsupported),
    /// The collector was at work, or a list half changed: take the copy again.
    #[error("the collector's lists are in motion ({reason} after {objects} objects); take the copy again")]
    Torn {
        /// Objects listed before the tear.
        objects: u64,
        /// What was seen.
        reason: &'static str,
    },
}

/// Reads one process and gives its chunks to `out`, from `Process` to `End`.
///
/// Errors leave `out` with nothing. Cost: two reads of every object, one of all writable memory; 20 KiB of memory
/// for each MiB of target that holds objects, twice, and 9 bytes an object, besides the cache of `source.memory`.
pub fn snapshot<M: Memory>(
    source: Source<'_, M>,
    out: &mut dyn FnMut(Chunk),
) -> Result<Summary, SnapshotError> {
    let Source { memory, regions, threads, symbol, name_of, facts: mut known_facts, accept_torn, values } =
        source;
    let rt = Runtime::find(memory, symbol).map_err(SnapshotError::Unsupported)?;
    let mut summary = Summary { version_hex: rt.version_hex, ..Summary::default() };
    let mut found = Discovery::new();
    let mut skipped = Vec::new();
    for &interpreter in &rt.interpreters {
        match found.collector(memory, &rt, interpreter) {
            Ok(n) => summary.tracked += n,
            Err(torn) if accept_torn => skipped.push((format!("collector list: {}", torn.reason), 1)),
            Err(torn) => return Err(SnapshotError::Torn { objects: torn.objects, reason: torn.reason }),
        }
    }
    summary.frozen = found.n_permanent;
    found.follow_roots(memory, &rt);
    found.follow_tracked(memory, &rt);
    let statics = static_ranges(regions);
    let mut census = Census::take(memory, &Sweep { rt: &rt, regions, statics: &statics }, &mut found);
    found.objects.seal();

    facts::runtime(memory, &rt, &mut known_facts);
    out(Chunk::Process(known_facts));
    let interned: Vec<u64> =
        rt.interpreters.iter().filter_map(|interp| interp::interned(memory, &rt, *interp)).collect();
    let mut place =
        Place { memory, rt: &rt, found: &found, census: &mut census, statics: &statics, interned: &interned };
    let mut emitter = Emitter::new(&found, values, out);
    emitter.objects(&mut place);
    roots::write(&mut emitter, &mut place, threads, &mut summary);
    let outside = Outside { regions, threads, name_of };
    let flags = holders::write(&mut emitter, &mut place, &outside, &mut summary);
    summary.objects = found.objects.len();
    summary.edges = emitter.n_edges;
    summary.torn_objects = emitter.torn;
    skipped.push(("references to something that is no object".to_owned(), found.bad_targets));
    skipped.push(("objects read in part".to_owned(), emitter.torn));
    skipped.retain(|(_, count)| *count > 0);
    let last_facts = facts::results(&summary, &census);
    emitter.finish(flags, [Chunk::Facts(last_facts), Chunk::Skipped(skipped)]);
    Ok(summary)
}

/// Writable data of mapped files, and the anonymous memory that continues it (`.bss`).
pub(crate) fn static_ranges(regions: &[Region]) -> Ranges {
    let mut ranges: Ranges = Vec::new();
    let mut data_end = 0;
    for region in regions {
        let is_file = !region.path.is_empty() && !region.path.starts_with('[');
        let is_bss = region.start == data_end && is_anonymous(region) && region.path != "[heap]";
        if region.write && (is_file || is_bss) {
            ranges.push((region.start, region.end));
        }
        if region.write && is_file {
            data_end = region.end;
        }
    }
    ranges
}
