//! Every chunk of a recording comes back from its bytes as it was; bytes that no encoder made are refused without a
//! panic.

use heapray_wire::{
    AllocRow, EventRow, Fact, FactValue, FrameKind, FrameRow, Inherited, LiveRow, Peak, Reading,
    RecordingChunk, SizesRow, Slice, StackRow, TaskEnd, kind,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};

const FRAME_KINDS: [FrameKind; 6] = [
    FrameKind::Python,
    FrameKind::Native,
    FrameKind::Thread,
    FrameKind::Tag,
    FrameKind::Cut,
    FrameKind::Start,
];

/// The same cases at every run.
fn config() -> Config {
    Config { cases: 400, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() }
}

fn encoded(chunk: &RecordingChunk) -> Vec<u8> {
    let mut bytes = Vec::new();
    chunk.encode(&mut bytes);
    bytes
}

/// Numbers that repeat and numbers that do not.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..4_u64, 2 => 0..300_u64, 1 => any::<u64>()]
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..40_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

/// A column's weights are all zero, whole, alike, or any.
fn weight(form: u8) -> impl Strategy<Value = f64> {
    (any::<u32>(), -1e200..1e200).prop_map(move |(whole, any): (u32, f64)| match form {
        0 => 0.0,
        1 => f64::from(whole),
        2 => f64::from(whole % 3) + 0.25,
        _ => any,
    })
}

fn live_rows() -> impl Strategy<Value = Vec<LiveRow>> {
    any::<[u8; 4]>().prop_flat_map(|forms| {
        let weights = forms.map(|form| weight(form % 4));
        let row = (id(), any::<u8>(), number(), number(), weights).prop_map(
            |(node, allocator, birth, n_records, [count, bytes, count_variance, bytes_variance])| LiveRow {
                node,
                allocator,
                birth: birth as u32,
                n_records,
                count,
                bytes,
                count_variance,
                bytes_variance,
            },
        );
        vec(row, 0..60)
    })
}

fn alloc_rows() -> impl Strategy<Value = Vec<AllocRow>> {
    any::<[u8; 6]>().prop_flat_map(|forms| {
        let weights = forms.map(|form| weight(form % 4));
        let row = (id(), any::<u8>(), 0..1_u64 << 53, weights, any::<bool>()).prop_map(
            |(node, allocator, n_records, weights, exact)| {
                let [count, bytes, count_variance, bytes_variance, temporary_count, temporary_bytes] =
                    weights;
                AllocRow {
                    node,
                    allocator,
                    n_records,
                    count: if exact { n_records as f64 } else { count },
                    bytes,
                    count_variance,
                    bytes_variance,
                    temporary_count,
                    temporary_bytes,
                }
            },
        );
        vec(row, 0..60)
    })
}

fn slice() -> impl Strategy<Value = Slice> {
    (0..Slice::MAX, any::<[u64; 2]>(), alloc_rows(), live_rows()).prop_map(
        |(index, [start_ns, end_ns], allocs, frees)| Slice { index, start_ns, end_ns, allocs, frees },
    )
}

fn fact() -> impl Strategy<Value = Fact> {
    (any::<String>(), any::<i64>()).prop_map(|(name, value)| Fact { name, value: FactValue::Int(value) })
}

fn frame() -> impl Strategy<Value = FrameRow> {
    (select(&FRAME_KINDS[..]), id(), id(), any::<[u32; 5]>()).prop_map(|(kind, function, file, numbers)| {
        let [line, column, end_line, end_column, first_line] = numbers;
        FrameRow { kind, function, file, line, column, end_line, end_column, first_line }
    })
}

fn reading() -> impl Strategy<Value = Reading> {
    (any::<[u64; 4]>(), weight(3)).prop_map(|(numbers, live_bytes)| {
        let [t_ns, rss_bytes, cgroup_bytes, cgroup_limit_bytes] = numbers;
        Reading { t_ns, rss_bytes, live_bytes, cgroup_bytes, cgroup_limit_bytes }
    })
}

fn sizes() -> impl Strategy<Value = SizesRow> {
    (any::<u8>(), vec(weight(1), 64), 0..65_usize, weight(1), weight(3)).prop_map(
        |(allocator, mut buckets, n, count, bytes)| {
            buckets[n..].fill(0.0);
            SizesRow { allocator, buckets, count, bytes }
        },
    )
}

/// Events of a few addresses and sites, so that blocks are freed and places taken again; some are odd.
fn events() -> impl Strategy<Value = Vec<EventRow>> {
    let event = (any::<bool>(), number(), number(), number(), any::<u64>(), 0..20_u8);
    vec(event, 0..400).prop_map(|rows| {
        let (mut t_ns, mut live) = (0_u64, Vec::<EventRow>::new());
        let mut event = |(is_free, node, size, step, address, odd): (bool, u64, u64, u64, u64, u8)| {
            t_ns = t_ns.wrapping_add(if step < 200 { step / 100 } else { step });
            let kind = u8::from(is_free);
            let row = EventRow { t_ns, kind, allocator: (node % 10) as u8, node: node as u32, address, size };
            if odd == 0 {
                return row;
            }
            if is_free && !live.is_empty() {
                let block = live.swap_remove(address as usize % live.len());
                return EventRow { t_ns, kind, ..block };
            }
            let row = EventRow { address: 0x7f00_0000_0000 + address % 64 * 16, ..row };
            live.push(row);
            row
        };
        rows.into_iter().map(&mut event).collect()
    })
}

fn chunk() -> impl Strategy<Value = RecordingChunk> {
    let stack = (id(), id()).prop_map(|(parent, frame)| StackRow { parent, frame });
    let peak =
        (any::<u64>(), weight(3), live_rows()).prop_map(|(t_ns, bytes, rows)| Peak { t_ns, bytes, rows });
    let inherited = (any::<u32>(), live_rows()).prop_map(|(parent, rows)| Inherited { parent, rows });
    let end = (any::<u64>(), any::<String>(), any::<i32>()).prop_map(|(t_ns, reason, code)| TaskEnd {
        t_ns,
        reason,
        code,
    });
    prop_oneof![
        vec(fact(), 0..5).prop_map(RecordingChunk::Recording),
        vec(fact(), 0..5).prop_map(RecordingChunk::Task),
        vec(any::<String>(), 0..9).prop_map(RecordingChunk::Texts),
        vec(frame(), 0..50).prop_map(RecordingChunk::Frames),
        vec(stack, 0..50).prop_map(RecordingChunk::Nodes),
        slice().prop_map(RecordingChunk::Slice),
        vec(reading(), 0..20).prop_map(RecordingChunk::Readings),
        peak.prop_map(RecordingChunk::Peak),
        vec(sizes(), 0..5).prop_map(RecordingChunk::Sizes),
        vec(fact(), 0..5).prop_map(RecordingChunk::Status),
        end.prop_map(RecordingChunk::End),
        events().prop_map(RecordingChunk::Events),
        inherited.prop_map(RecordingChunk::Inherited),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_chunk_comes_back(chunk in chunk()) {
        prop_assert_eq!(RecordingChunk::decode(chunk.kind(), &encoded(&chunk)), Ok(chunk));
    }

    #[test]
    fn events_come_back(rows in events()) {
        let chunk = RecordingChunk::Events(rows);
        prop_assert_eq!(RecordingChunk::decode(kind::EVENTS, &encoded(&chunk)), Ok(chunk));
    }

    #[test]
    fn a_cut_chunk_is_refused(chunk in chunk(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&chunk);
        prop_assert!(RecordingChunk::decode(chunk.kind(), &bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_chunk_with_a_byte_too_many_is_refused(chunk in chunk(), byte in any::<u8>()) {
        let mut bytes = encoded(&chunk);
        bytes.push(byte);
        prop_assert!(RecordingChunk::decode(chunk.kind(), &bytes).is_err());
    }

    #[test]
    fn random_bytes_never_panic(kind in kind::RECORDING..=kind::INHERITED, bytes in vec(any::<u8>(), 0..300)) {
        let _ = RecordingChunk::decode(kind, &bytes);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_chunk(
        chunk in chunk(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = encoded(&chunk);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(changed) = RecordingChunk::decode(chunk.kind(), &bytes) {
            let again = RecordingChunk::decode(chunk.kind(), &encoded(&changed));
            prop_assert_eq!(again, Ok(changed));
        }
    }
}

/// A service that allocates and frees in turns: what an event costs before compression.
#[test]
fn a_usual_event_takes_few_bytes() {
    let mut rows = Vec::new();
    for round in 0..2_000_u64 {
        for i in 0..10 {
            let address = 0x7f11_2200_0000 + (round % 7) * 4096 + i * 64;
            let block = EventRow {
                t_ns: round * 1_000_000,
                kind: EventRow::ALLOC,
                allocator: 8,
                node: (i * 3) as u32,
                address,
                size: 56,
            };
            rows.push(block);
            rows.push(EventRow { kind: EventRow::FREE, ..block });
        }
    }
    let n = rows.len();
    let bytes = encoded(&RecordingChunk::Events(rows)).len();
    assert!(bytes < n * 2, "{bytes} bytes for {n} events");
}

#[test]
fn a_slice_out_of_reach_is_refused() {
    let chunk = RecordingChunk::Slice(Slice { index: Slice::MAX, ..Slice::default() });
    assert!(RecordingChunk::decode(kind::SLICE, &encoded(&chunk)).is_err());
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, kind::END, kind::FILE_END, kind::INHERITED + 1, kind::OPTIONAL] {
        assert!(RecordingChunk::decode(kind, &[]).is_err());
    }
}
