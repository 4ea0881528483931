//! The engine against a slow model that keeps every block in a tree, on random programs with forks, and what its rows
//! add up to.

use std::collections::BTreeMap;

use heapray_collect::{Engine, NoNames, Numbered, Settings};
use heapray_wire::ring::cells::{
    Allocator, Cell, Drawn, NO_PARENT, NodeKind, alloc, border, ending, forking, free, node, sample,
    temporary, unmap,
};
use heapray_wire::{AllocRow, FactValue, LiveRow, NO_NODE, RecordingChunk, TaskEnd};
use proptest::prelude::*;

/// Site and birth to blocks and bytes.
type Live = BTreeMap<(u32, u8, u32), (i64, i64)>;

#[derive(Clone, Debug, Default)]
struct Model {
    blocks: BTreeMap<u64, (u32, u64, u32)>,
    bytes: u64,
    peak: u64,
    at_peak: Live,
    /// It has come to the border of the slice.
    is_past: bool,
}

impl Model {
    /// It has ended, and did not see slices after this one.
    fn end(&mut self, slice: u32) {
        self.blocks.values_mut().for_each(|(_, _, birth)| *birth = slice.min(*birth));
        let mut at_peak = Live::new();
        for ((node, allocator, birth), n) in std::mem::take(&mut self.at_peak) {
            let entry = at_peak.entry((node, allocator, birth.min(slice))).or_default();
            *entry = (entry.0 + n.0, entry.1 + n.1);
        }
        self.at_peak = at_peak;
    }

    fn live(&self) -> Live {
        let mut live = Live::new();
        for (node, size, birth) in self.blocks.values() {
            let entry = live.entry((*node, Allocator::Malloc as u8, *birth)).or_default();
            entry.0 += 1;
            entry.1 += *size as i64;
        }
        live
    }

    fn alloc(&mut self, addr: u64, node: u32, size: u64, slice: u32) {
        // The engine counts the new block before it learns that the old one is gone only if that cannot be seen.
        self.free(addr);
        self.blocks.insert(addr, (node, size, slice));
        self.bytes += size;
        if self.bytes > self.peak {
            self.peak = self.bytes;
            self.at_peak = self.live();
        }
    }

    fn free(&mut self, addr: u64) {
        if let Some((_, size, _)) = self.blocks.remove(&addr) {
            self.bytes -= size;
        }
    }
}

/// What a file's rows say about one process.
#[derive(Debug, Default)]
struct Told {
    live: Live,
    peak: Option<(f64, Live)>,
    ended: bool,
    n_alloc: i64,
}

fn add(live: &mut Live, row: &LiveRow, sign: i64) {
    let key = (row.node, row.allocator, row.birth);
    let entry = live.entry(key).or_default();
    // What nonsense says is larger than any memory.
    entry.0 = entry.0.saturating_add((row.count as i64).saturating_mul(sign));
    entry.1 = entry.1.saturating_add((row.bytes as i64).saturating_mul(sign));
    if *entry == (0, 0) {
        live.remove(&key);
    }
}

fn born(row: &AllocRow, birth: u32) -> LiveRow {
    LiveRow {
        node: row.node,
        allocator: row.allocator,
        birth,
        n_records: row.n_records,
        count: row.count,
        bytes: row.bytes,
        ..LiveRow::default()
    }
}

fn read(chunks: &[Numbered]) -> BTreeMap<u16, Told> {
    let mut told = BTreeMap::<u16, Told>::new();
    let mut n_nodes = 0;
    for (number, chunk) in chunks {
        let told = told.entry(*number).or_default();
        let is_known = |node: u32| assert!(node < n_nodes || node == NO_NODE, "node {node} comes later");
        match chunk {
            RecordingChunk::Nodes(nodes) => n_nodes += nodes.len() as u32,
            RecordingChunk::Inherited(inherited) => {
                inherited.rows.iter().for_each(|row| is_known(row.node));
                inherited.rows.iter().for_each(|row| add(&mut told.live, row, 1));
            }
            RecordingChunk::Slice(slice) => {
                slice.frees.iter().for_each(|row| is_known(row.node));
                for row in &slice.allocs {
                    is_known(row.node);
                    told.n_alloc = told.n_alloc.saturating_add(row.count as i64);
                    add(&mut told.live, &born(row, slice.index), 1);
                }
                slice.frees.iter().for_each(|row| add(&mut told.live, row, -1));
            }
            RecordingChunk::Peak(peak) => {
                let mut live = Live::new();
                peak.rows.iter().for_each(|row| is_known(row.node));
                peak.rows.iter().for_each(|row| add(&mut live, row, 1));
                told.peak = Some((peak.bytes, live));
            }
            RecordingChunk::End(_) => told.ended = true,
            _ => {}
        }
    }
    told
}

/// Nodes 1..=4 in a row, so that node n of the agent becomes node n - 1 of the file once all have been used in order.
fn tree() -> Vec<Cell> {
    (1..=4u32)
        .flat_map(|id| {
            let parent = if id == 1 { NO_PARENT } else { id - 1 };
            node(id, parent, NodeKind::Thread, [u64::from(id), 0])
        })
        .collect()
}

fn exited(t_ns: u64) -> TaskEnd {
    TaskEnd { t_ns, reason: "exited".into(), code: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After any program the rows of the file add up to the live blocks of every process, births included, and each
    /// process's last peak is what was alive when its bytes were highest.
    #[test]
    fn rows_add_up_to_what_is_alive_and_to_the_peak(
        steps in prop::collection::vec((0u8..48, 0u64..60, 1u32..5, 1u32..200), 1..300)
    ) {
        let mut engine = Engine::new(Settings::default());
        let mut models = vec![Model::default()];
        engine.start(Vec::new()).expect("there is room");
        engine.cells(0, &tree(), 0);
        // The longest stack first: its nodes get their numbers in order.
        engine.cells(0, &[alloc(Allocator::Malloc, 1 << 40, 4, 0)], 0);
        models[0].alloc(1 << 40, 4, 0, 0);
        engine.end_slice(0, &mut NoNames);
        let mut chunks = engine.take_chunks();
        let (mut slice, mut n_ended, mut asked) = (1, 0, 0);
        for (t, (what, slot, node, size)) in steps.into_iter().enumerate() {
            let t = t as u64 + 1;
            let n = models.len();
            let who = (size as usize + slot as usize) % n;
            let addr = 0x1000 + slot * 0x300;
            if what == 3 && asked != 0 {
                engine.end_slice(t, &mut NoNames);
                chunks.extend(engine.take_chunks());
                (slice, n_ended) = (slice + 1, 0);
            }
            if matches!(what, 0..=3 | 24) {
                // The slice ends for all, who are not past a border any more.
                asked = 0;
                let is_ended = what != 24 || n_ended < 32;
                models.iter_mut().for_each(|model| model.is_past &= !is_ended);
            }
            let now = slice + u32::from(models[who].is_past);
            match what {
                0..=2 => {
                    engine.end_slice(t, &mut NoNames);
                    chunks.extend(engine.take_chunks());
                    (slice, n_ended) = (slice + 1, 0);
                }
                3 if n < 5 => {
                    engine.cells(who as u32, &[forking(t)], t);
                    // The parent goes on before the child says its first word.
                    engine.cells(who as u32, &[alloc(Allocator::Malloc, 5, 2, 77)], t);
                    let mut child = models[who].clone();
                    models[who].alloc(5, 2, 77, now);
                    (child.peak, child.at_peak) = (child.bytes, child.live());
                    models.push(child);
                    prop_assert_eq!(engine.start_child(who as u32, t, Vec::new()), Some(n as u32));
                }
                4..=22 => {
                    engine.cells(who as u32, &[alloc(Allocator::Malloc, addr, node, size)], t);
                    models[who].alloc(addr, node, size.into(), now);
                }
                27 => asked = engine.ask_for_border(),
                28..=30 => {
                    // The right one once, or one that is over; what comes in the same breath belongs to the next slice.
                    let number = if what == 30 { 0 } else { asked };
                    engine.cells(who as u32, &[border(number), alloc(Allocator::Malloc, 9, 3, 66)], t);
                    models[who].is_past |= number != 0;
                    let now = slice + u32::from(models[who].is_past);
                    models[who].alloc(9, 3, 66, now);
                }
                23 => {
                    engine.cells(who as u32, &temporary(node, Allocator::Malloc, 3, 99), t);
                }
                24 => {
                    // An interpreter ends, and what comes in the same breath belongs to the next slice.
                    engine.cells(who as u32, &[ending(1), alloc(Allocator::Malloc, 9, 3, 55)], t);
                    (slice, n_ended) = if n_ended < 32 { (slice + 1, n_ended + 1) } else { (slice, n_ended) };
                    let now = slice + u32::from(models[who].is_past);
                    models[who].alloc(9, 3, 55, now);
                }
                25 | 26 => {
                    // Taken early, and once more when it is in the ring, with what happened since.
                    let block = alloc(Allocator::Malloc, addr, node, size);
                    engine.early_cells(who as u32, &[block], t);
                    models[who].alloc(addr, node, size.into(), now);
                    if what == 26 {
                        asked = 0;
                        models.iter_mut().for_each(|model| model.is_past = false);
                        engine.end_slice(t, &mut NoNames);
                        chunks.extend(engine.take_chunks());
                        (slice, n_ended) = (slice + 1, 0);
                    }
                    engine.cells(who as u32, &[block, free(addr, Allocator::Malloc)], t);
                    models[who].free(addr);
                }
                46 | 47 => {
                    engine.work_ahead(&mut NoNames);
                    chunks.extend(engine.take_chunks());
                }
                _ => {
                    engine.cells(who as u32, &[free(addr, Allocator::Malloc)], t);
                    models[who].free(addr);
                }
            }
        }
        for (number, model) in models.iter_mut().enumerate() {
            engine.end(number as u32, exited(1000));
            model.end(slice);
        }
        engine.end_slice(1000, &mut NoNames);
        chunks.extend(engine.take_chunks());
        let told = read(&chunks);
        for (number, model) in models.iter().enumerate() {
            let told = &told[&(number as u16)];
            // Nodes of the file are one less than the agent's.
            let shift = |live: Live| -> Live {
                live.into_iter().map(|((node, allocator, birth), n)| ((node - 1, allocator, birth), n)).collect()
            };
            prop_assert_eq!(&told.live, &shift(model.live()), "process {}", number);
            prop_assert!(told.ended);
            if model.peak > 0 {
                let (bytes, at_peak) = told.peak.as_ref().expect("a peak is written at the end");
                prop_assert_eq!(*bytes, model.peak as f64);
                prop_assert_eq!(at_peak, &shift(model.at_peak.clone()), "process {}", number);
            }
        }
    }
}

#[test]
fn an_address_that_is_born_twice_was_freed_unseen() {
    let mut engine = Engine::new(Settings::default());
    engine.start(Vec::new()).expect("there is room");
    let cells = [alloc(Allocator::Malloc, 64, 0, 10), alloc(Allocator::Malloc, 64, 0, 30)];
    assert_eq!(engine.cells(0, &cells, 1), 2);
    assert_eq!(engine.live_bytes(0), 30.0);
    engine.end_slice(1, &mut NoNames);
    let chunks = engine.take_chunks();
    let status = chunks.iter().find_map(|(_, chunk)| match chunk {
        RecordingChunk::Status(facts) => Some(facts),
        _ => None,
    });
    let missed =
        status.expect("a status").iter().find(|fact| fact.name == "missed_frees").expect("it is counted");
    assert_eq!(missed.value, heapray_wire::FactValue::Int(1));
}

#[test]
fn a_mapping_dies_with_its_last_piece_and_arenas_are_no_heap() {
    let mut engine = Engine::new(Settings::default());
    engine.start(Vec::new()).expect("there is room");
    let cells = [
        alloc(Allocator::Mmap, 0x1_0000, 0, 0x4000),
        alloc(Allocator::Arena, 0x10_0000, 0, 0x10_0000),
        unmap(0x1_1000, 0x1000),
    ];
    engine.cells(0, &cells, 1);
    assert_eq!(engine.live_bytes(0), f64::from(0x3000));
    engine.cells(0, &[unmap(0, 0x10_0000)], 2);
    assert_eq!(engine.live_bytes(0), 0.0);
    engine.end_slice(3, &mut NoNames);
    let told = read(&engine.take_chunks());
    let left: Vec<_> = told[&0].live.iter().map(|(key, value)| (key.1, *value)).collect();
    assert_eq!(left, [(Allocator::Arena as u8, (1, 0x10_0000))]);
}

#[test]
fn a_sample_stands_for_many_and_leaves_nothing_behind() {
    let mut engine = Engine::new(Settings::default());
    engine.start(Vec::new()).expect("there is room");
    for addr in 1..=100u64 {
        let drawn = Drawn { size: 600 + addr, interval: if addr < 50 { 65_536 } else { 131_072 } };
        engine.cells(0, &sample(Allocator::PythonObject, addr << 12, 0, drawn), 1);
    }
    let live = engine.live_bytes(0);
    assert!((live / (49.0 * 65_536.0 + 51.0 * 131_072.0) - 1.0).abs() < 0.01, "{live}");
    engine.end_slice(2, &mut NoNames);
    let cells: Vec<Cell> = (1..=100u64).map(|addr| free(addr << 12, Allocator::PythonObject)).collect();
    engine.cells(0, &cells, 3);
    assert!(engine.live_bytes(0).abs() < 1e-6 && engine.n_blocks() == 0);
    engine.end_slice(4, &mut NoNames);
    let (mut born, mut died) = (0.0, 0.0);
    for (_, chunk) in engine.take_chunks() {
        if let RecordingChunk::Slice(slice) = chunk {
            born += slice.allocs.iter().map(|row| row.bytes_variance).sum::<f64>();
            died += slice.frees.iter().map(|row| row.bytes_variance).sum::<f64>();
        }
    }
    assert!(born > 0.0 && (born / died - 1.0).abs() < 1e-9, "{born} {died}");
}

#[test]
fn nonsense_is_counted_and_nothing_else() {
    let mut engine = Engine::new(Settings::default());
    engine.start(Vec::new()).expect("there is room");
    let mut state = 1u64;
    let mut cells = Vec::new();
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        cells.push(Cell { a: state, b: state.rotate_left(21) });
    }
    let mut at = 0;
    while at < cells.len() {
        at += engine.cells(0, &cells[at..], 1).max(1);
    }
    engine.end(0, exited(2));
    engine.end_slice(2, &mut NoNames);
    assert!(read(&engine.take_chunks())[&0].ended);
}

#[test]
fn an_interpreter_that_ends_begins_a_slice() {
    let mut engine = Engine::new(Settings::default());
    engine.start(Vec::new()).expect("there is room");
    engine.cells(0, &tree(), 0);
    let block = |addr| alloc(Allocator::PythonObject, addr, 1, 100);
    engine.cells(0, &[ending(0), block(16), ending(1), free(16, Allocator::PythonObject), block(32)], 7);
    engine.end(0, exited(9));
    engine.end_slice(10, &mut NoNames);
    let chunks = engine.take_chunks();
    let slices: Vec<_> = chunks
        .iter()
        .filter_map(|(_, chunk)| match chunk {
            RecordingChunk::Slice(slice) => Some(slice),
            _ => None,
        })
        .collect();
    let spans: Vec<_> = slices.iter().map(|slice| (slice.index, slice.start_ns, slice.end_ns)).collect();
    assert_eq!(spans, [(0, 0, 7), (1, 7, 10)]);
    assert_eq!((slices[0].allocs.len(), slices[0].frees.len()), (1, 0));
    assert_eq!(slices[1].frees[0].birth, 0);
    let said = chunks.iter().rev().find_map(|(_, chunk)| match chunk {
        RecordingChunk::Status(facts) => facts.iter().find(|fact| fact.name == "teardown_slice"),
        _ => None,
    });
    assert_eq!(said.map(|fact| &fact.value), Some(&FactValue::Int(1)));
}
