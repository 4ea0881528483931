//! Writes what keeps objects alive on its own account: interpreters, threads and their running frames.

use crate::emit::{Emitter, Place};
use crate::node::{NodeEdges, NodeSink};
use crate::{StoppedThread, Summary};
use heapray_cpython::frames::{self, FrameOwner, FrameRef};
use heapray_cpython::threads::Thread;
use heapray_cpython::{Label, Memory, Runtime, Sink, Strength, code, interp, threads};
use heapray_wire::{Tail, TypeKind};

/// Writes a node for each interpreter and thread and for each running frame.
pub(crate) fn write<M: Memory>(
    emitter: &mut Emitter<'_>,
    place: &mut Place<'_, M>,
    stopped: &[StoppedThread],
    summary: &mut Summary,
) {
    let rt = place.rt;
    for (i, &interpreter) in rt.interpreters.iter().enumerate() {
        let mut edges = NodeEdges::default();
        interp::roots(&*place.memory, rt, interpreter, &mut sink(place, &mut edges));
        emitter.synthetic(place, TypeKind::Interpreter, &format!("interpreter {i}"), &edges);
        for thread in threads::threads(&*place.memory, rt, interpreter) {
            write_thread(emitter, place, (&thread, stopped), summary);
        }
    }
}

fn sink<'a, M>(place: &Place<'a, M>, edges: &'a mut NodeEdges) -> NodeSink<'a> {
    NodeSink { objects: &place.found.objects, node: edges }
}

fn write_thread<M: Memory>(
    emitter: &mut Emitter<'_>,
    place: &mut Place<'_, M>,
    (thread, stopped): (&Thread, &[StoppedThread]),
    summary: &mut Summary,
) {
    let rt = place.rt;
    let mut stack = Vec::new();
    frames::stack(&*place.memory, rt, thread, |frame| stack.push(frame));
    summary.n_threads += 1;
    summary.n_frames += stack.len() as u64;
    let mut edges = NodeEdges::default();
    threads::roots(&*place.memory, rt, thread, &mut sink(place, &mut edges));
    let mut next = emitter.next_id() + 1;
    edges.tail = Some(Tail::Index);
    for frame in &stack {
        if frame.owner == FrameOwner::FrameObject {
            let object = place.found.objects.rank(frame.object.unwrap_or(frame.address));
            edges.tail_targets.extend(object);
            object.inspect(|node| emitter.name_node(*node, &frame_name(&*place.memory, rt, frame)));
        } else {
            edges.tail_targets.push(next);
            next += 1;
        }
    }
    emitter.synthetic(place, TypeKind::Thread, &thread_name(thread, stopped), &edges);
    for frame in stack.iter().filter(|frame| frame.owner != FrameOwner::FrameObject) {
        write_frame(emitter, place, frame);
    }
}

fn write_frame<M: Memory>(emitter: &mut Emitter<'_>, place: &mut Place<'_, M>, frame: &FrameRef) {
    let mut edges = NodeEdges::default();
    // A generator's frame lies inside the generator, whose reader reports it.
    if frame.owner == FrameOwner::Thread {
        frames::references(&*place.memory, place.rt, frame.address, &mut sink(place, &mut edges));
    } else if frame.code != 0 {
        sink(place, &mut edges).edge(frame.code, Label::Field("f_code"), Strength::Borrowed);
    }
    let name = frame_name(&*place.memory, place.rt, frame);
    emitter.synthetic(place, TypeKind::StackFrame, &name, &edges);
}

/// `normalize (data_pipeline.py:12)`.
fn frame_name<M: Memory>(memory: &M, rt: &Runtime, frame: &FrameRef) -> String {
    let Some(info) = code::info(memory, rt, frame.code) else { return "?".to_owned() };
    match frame.line {
        Some(line) => format!("{} ({}:{line})", info.qualname, info.filename),
        None => format!("{} ({})", info.qualname, info.filename),
    }
}

fn thread_name(thread: &Thread, stopped: &[StoppedThread]) -> String {
    let known = stopped.iter().find(|stopped| thread.native_tid == Some(stopped.tid));
    match (known, thread.native_tid) {
        (Some(known), _) => format!("thread {} ({})", known.tid, known.name),
        (None, Some(tid)) => format!("thread {tid}"),
        (None, None) => format!("thread {:#x}", thread.python_id),
    }
}
