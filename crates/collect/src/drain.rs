//! Moves what agents write into a file: reads their rings, notices processes that come and go, measures, ends slices.
//!
//! One thread does all that by turns, [`Drain::round`] being one turn; its caller waits between them as long as it is told.
//! Whatever happens to the file, the processes go on: the agents are told to stop and nothing else.

mod measuring;
mod reserved;
mod slicing;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heapray_attach::SharedFile;
use heapray_wire::ring::cells::Cell;
use heapray_wire::ring::{COMMAND_DETACH, COMMAND_OFF, COMMAND_ON, SLOT_FREE, SLOT_LIVE, SLOT_RELEASED};
use heapray_wire::{Fact, FactValue, TaskEnd};

pub(crate) use reserved::Looks;

use crate::native::{CodeFiles, NativeFiles};
use crate::output::Output;
use crate::pauses::Pauses;
use crate::plan::{Level, Mode, Plan};
use crate::slots::Slots;
use crate::spread::Spread;
use crate::tenant::{self, Now, Tenant};
use crate::{Engine, Settings, pids};

/// Waits between rounds, at most and at least; the agents take silence of a second for our death.
const WAIT_MAX: Duration = Duration::from_millis(50);
const WAIT_MIN: Duration = Duration::from_millis(1);
/// In exact mode a process waits when its ring is full: no longer than this at the start of a burst.
const WAIT_MAX_EXACT: Duration = Duration::from_millis(20);

/// Memory is measured at least this often, while slices are long.
const READINGS: Duration = Duration::from_secs(1);

/// How long a child may take to its first word, where nobody else is left.
const CHILD_MAX: Duration = Duration::from_secs(1);

/// Processes in a row that fork before we look once.
const MAX_ANCESTORS: u32 = 64;

/// What one round found.
#[derive(Debug, Default)]
pub struct Round {
    /// How long to wait before the next.
    pub wait: Duration,
    /// Somebody ran `heapray detach`.
    pub detach: bool,
    /// The file cannot be written any more; the recording has stopped.
    pub failure: Option<io::Error>,
}

/// What a recording came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Bytes of the file.
    pub n_bytes: u64,
    /// Processes that were recorded.
    pub n_processes: u32,
    /// Allocations and frees, temporaries included.
    pub n_events: u64,
    /// Of these lost, and frees among the lost.
    pub lost: (u64, u64),
    /// Time that the agents spent, as far as they measured it.
    pub hook_ns: u64,
    /// Processes that found no room.
    pub refused: u64,
    /// Programs that were executed in another root or as another user, where the agent could not follow.
    pub unreachable: u64,
    /// Processes with a Python that the agent cannot read.
    pub other_pythons: u64,
    /// The recording was paused from its begin to its end.
    pub never_on: bool,
    /// Pids of processes that ran on.
    pub left: Vec<i32>,
}

/// A recording that is being made.
pub struct Drain {
    slots: Slots,
    plan: Plan,
    engine: Engine,
    output: Output,
    start: Instant,
    tenants: Vec<Option<Tenant>>,
    /// (slot, generation) to number, of all processes so far.
    numbers: BTreeMap<(usize, u32), u32>,
    pids: BTreeMap<u32, i32>,
    /// Versions of Python, by process number: a forked process does not find its own again.
    pythons: BTreeMap<u32, String>,
    files: CodeFiles,
    buffer: Vec<Cell>,
    wait: Duration,
    measured: Instant,
    /// When processes were last asked to come to the border of the slice.
    asked: Instant,
    how: &'static str,
    /// How processes ended, by pid, where our caller knows.
    known_ends: Vec<(i32, TaskEnd)>,
    /// Facts of slots whose process has ended, for the summary.
    ended: Summary,
    failed: bool,
    pauses: Pauses,
    spread: Spread,
    rate_looked: Instant,
}

impl Drain {
    /// Begins to record into `file`. Starts a thread, so signals must have been blocked before.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn new(shared: Arc<SharedFile>, plan: Plan, file: File) -> io::Result<Self> {
        let settings = Settings { counts_arenas: plan.level == Level::Malloc, keeps_events: plan.all_events };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let output = Output::start(file, plan.facts(nanoseconds(since_epoch)))?;
        let slots = Slots::of(shared);
        Ok(Self {
            tenants: (0..slots.len()).map(|_| None).collect(),
            engine: Engine::new(settings),
            output,
            start: Instant::now(),
            numbers: BTreeMap::new(),
            pids: BTreeMap::new(),
            pythons: BTreeMap::new(),
            files: CodeFiles::default(),
            buffer: Vec::new(),
            wait: WAIT_MIN,
            measured: Instant::now(),
            asked: Instant::now(),
            how: if plan.follow_exec { "started" } else { "attached" },
            known_ends: Vec::new(),
            ended: Summary { never_on: !slots.is_recording(), ..Summary::default() },
            failed: false,
            pauses: Pauses::new(slots.is_recording()),
            spread: Spread::new(plan.sample_interval, plan.spreads),
            rate_looked: Instant::now(),
            slots,
            plan,
        })
    }

    /// Records the process of another memory file too, which was attached to with the same plan.
    pub fn add(&mut self, shared: Arc<SharedFile>) {
        self.slots.add(shared);
        self.tenants.resize_with(self.slots.len(), || None);
    }

    /// Pids of the processes that are being recorded.
    pub fn pids(&self) -> Vec<i32> {
        self.tenants.iter().flatten().map(|tenant| tenant.pid).collect()
    }

    /// Whether no process is left, nor a child that has only just been forked.
    pub fn is_deserted(&self) -> bool {
        let recent = self.now().saturating_sub(nanoseconds(CHILD_MAX));
        self.tenants.iter().all(Option::is_none) && !self.engine.awaits_child(recent)
    }

    /// Switches the recording on where it is off, and off where it is on.
    pub fn toggle(&mut self) {
        self.set_recording(!self.slots.is_recording());
    }

    /// Switches the recording on or off.
    pub fn set_recording(&mut self, on: bool) {
        self.ended.never_on &= !on;
        self.pauses.switch(on, self.now());
        self.engine.tell_all();
        self.slots.set_recording(on);
    }

    /// Records nothing more, as the end has come.
    pub fn hush(&self) {
        self.slots.set_recording(false);
    }

    /// One turn: reads every ring once, obeys commands, ends the slice if it is time.
    pub fn round(&mut self) -> Round {
        self.slots.beat();
        let n_cells = self.sweep();
        self.look_at_reserved(false);
        let detach = self.obey();
        self.watch();
        self.watch_rate();
        let is_patient = self.is_patient();
        if self.engine.has_many_events() && !is_patient {
            self.write(|engine, native| engine.flush_events(native));
        } else {
            // A process that has come is in the file at once, whatever becomes of us.
            self.write(|_, _| {});
        }
        if self.is_due() && !is_patient {
            self.approach_border();
        } else if self.measured.elapsed() >= READINGS {
            self.measure();
        }
        let wait = self.pace(n_cells);
        if !wait.is_zero() {
            self.work_ahead();
        }
        Round { wait, detach, failure: self.take_failure() }
    }

    /// How long to wait after a round that found `n_cells`: the less the longer, so that an idle process costs nothing.
    fn pace(&mut self, n_cells: u64) -> Duration {
        let longest = if self.plan.mode == Mode::Exact { WAIT_MAX_EXACT } else { WAIT_MAX };
        let ring = self.ring_cells();
        if n_cells > ring / 16 {
            self.wait = WAIT_MIN;
            return Duration::ZERO;
        }
        self.wait = if n_cells > ring / 64 { self.wait / 2 } else { self.wait * 2 };
        self.wait = self.wait.clamp(WAIT_MIN, longest);
        self.wait
    }

    /// Takes in how processes ended, by pid, where our caller has reaped them.
    pub fn know_ends(&mut self, ends: impl IntoIterator<Item = (i32, TaskEnd)>) {
        self.known_ends.extend(ends);
    }

    /// Ends the recording: agents are told to stop, rings read to their end, the file closed. Who runs on has ended for `reason`.
    pub fn finish(mut self, reason: &str) -> (Summary, Option<io::Error>) {
        self.look_at_reserved(true);
        self.slots.stop();
        self.sweep_all();
        if !self.tenants.iter().flatten().all(has_ended) {
            // Who runs on notices at its next event; what it writes meanwhile is read.
            std::thread::sleep(WAIT_MAX);
            self.sweep_all();
        }
        for idx in 0..self.tenants.len() {
            let Some(tenant) = &self.tenants[idx] else { continue };
            let known = self.known_end(tenant.pid);
            if known.is_none() && !has_ended(tenant) {
                self.ended.left.push(tenant.pid);
            }
            let end = TaskEnd { t_ns: self.now(), reason: reason.to_owned(), code: 0 };
            self.leave(idx, known.unwrap_or(end));
        }
        self.end_slice();
        self.output.finish();
        let failure = self.output.take_failure();
        let (refused, unreachable) = self.slots.refused();
        let n_processes = self.numbers.len() as u32;
        let n_bytes = self.output.n_bytes();
        let summary = Summary { n_bytes, n_processes, refused, unreachable, ..self.ended };
        (summary, failure)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }

    fn ring_cells(&self) -> u64 {
        self.plan.shared().ring_bytes as u64 / 16
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        let failure = self.output.take_failure()?;
        self.failed = true;
        self.slots.stop();
        Some(failure)
    }

    /// Reads all rings until they are empty.
    fn sweep_all(&mut self) {
        while self.sweep() > 0 {
            self.slots.beat();
        }
    }

    /// Looks at every slot: what is in the rings, who has gone, then who has come, so that one who was waited for has gone before
    /// the next comes. Answers how many cells there were.
    fn sweep(&mut self) -> u64 {
        let known: Vec<usize> = (0..self.tenants.len()).filter(|idx| self.tenants[*idx].is_some()).collect();
        let mut n_cells: u64 = known.into_iter().map(|idx| self.visit(idx)).sum();
        for idx in self.newcomers() {
            if self.tenants[idx].is_none() {
                self.arrive(idx, MAX_ANCESTORS);
            }
            n_cells += self.visit(idx);
        }
        n_cells
    }

    /// Slots that were taken since the last sweep, in that order: a process may have executed several programs meanwhile.
    fn newcomers(&self) -> Vec<usize> {
        let empty = (0..self.tenants.len()).filter(|idx| self.tenants[*idx].is_none());
        let taken = empty.filter(|idx| self.is_taken(*idx));
        let mut found: Vec<(u64, usize)> =
            taken.filter_map(|idx| Some((tenant::started_ns(self.slots.get(idx)?.header()), idx))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, idx)| idx).collect()
    }

    fn is_taken(&self, idx: usize) -> bool {
        let state = self.slots.claim(idx).map(|claim| claim.state.load(Ordering::Acquire));
        matches!(state, Some(SLOT_LIVE | SLOT_RELEASED))
    }

    /// Reads the ring of a slot, and notices that its process has gone. Answers how many cells there were.
    fn visit(&mut self, idx: usize) -> u64 {
        let (Some(Some(tenant)), Some(claim)) = (self.tenants.get(idx), self.slots.claim(idx)) else {
            return 0;
        };
        let state = claim.state.load(Ordering::Acquire);
        // Asked before the ring is read: what is in it then is all there will be.
        let has_gone = state == SLOT_RELEASED || has_ended(tenant);
        let mut n_cells = 0;
        loop {
            let n = self.drain(idx);
            n_cells += n;
            if !has_gone || n == 0 {
                break;
            }
        }
        if let (true, Some(Some(tenant))) = (has_gone, self.tenants.get(idx)) {
            self.leave(idx, self.end_of(tenant, state));
            if self.engine.has_much_to_forget() && !self.is_patient() {
                self.end_slice();
            }
        }
        n_cells
    }

    fn drain(&mut self, idx: usize) -> u64 {
        let t_ns = self.now();
        let (Some(Some(tenant)), Some(slot)) = (self.tenants.get_mut(idx), self.slots.get(idx)) else {
            return 0;
        };
        let n = tenant.drain(&slot, &mut self.engine, Now { t_ns, buffer: &mut self.buffer });
        if self.plan.mode == Mode::Exact {
            let (crest, step) = self.engine.crest(tenant.number);
            slot.header().crest.store(crest, Ordering::Relaxed);
            slot.header().crest_step.store(step, Ordering::Relaxed);
            if n == 0 {
                tenant.look_at_young(&slot, &mut self.engine, Now { t_ns, buffer: &mut self.buffer });
            }
        }
        for object in self.engine.take_new_code(tenant.number) {
            self.files.want(Some(tenant.pid), &object);
        }
        n
    }

    /// A process has claimed slot `idx`; at most `n_ancestors` that have come with it are taken before it.
    fn arrive(&mut self, idx: usize, n_ancestors: u32) {
        let Some(slot) = self.slots.get(idx).filter(|_| self.is_taken(idx)) else { return };
        let header = slot.header();
        let started_ns = tenant::started_ns(header);
        let generation = header.generation.load(Ordering::Acquire);
        let pid = pids::ours(header.pid.load(Ordering::Relaxed), self.pids.values().next().copied());
        let parent = self.slots.beside(idx, header.parent_slot.load(Ordering::Relaxed));
        let parent = parent.map(|slot| (slot, header.parent_generation.load(Ordering::Relaxed)));
        let mark = header.fork_mark.load(Ordering::Relaxed);
        let python = tenant::python(header);
        if let Some((slot, _)) = parent.filter(|parent| !self.numbers.contains_key(parent))
            && self.tenants.get(slot).is_some_and(Option::is_none)
            && n_ancestors > 0
            && slot != idx
        {
            self.arrive(slot, n_ancestors - 1);
        }
        let parent = parent.and_then(|parent| self.numbers.get(&parent).copied());
        // The parent wrote the mark before the fork, so what is in its ring now reaches as far.
        let parent_idx = self
            .tenants
            .iter()
            .position(|tenant| tenant.as_ref().is_some_and(|tenant| Some(tenant.number) == parent));
        if let Some(parent_idx) = parent_idx {
            while self.drain(parent_idx) > 0 {}
        }
        let same = self.same_process(idx, pid);
        // It may have executed the next program already, and that one been seen first.
        let is_replaced = same.is_some_and(|(_, other_ns)| started_ns < other_ns);
        let replaced = same.filter(|_| !is_replaced).map(|(old, _)| old);
        let how = match (parent, &replaced) {
            (Some(_), _) => "forked",
            (None, Some(_)) => "exec",
            _ => self.how,
        };
        if let Some(old) = replaced {
            self.replace(old);
        }
        self.settle_border();
        let python = python.or_else(|| parent.and_then(|parent| self.pythons.get(&parent).cloned()));
        let facts = self.task_facts(pid, parent, how, python.clone());
        let number = match parent {
            Some(parent) => self.engine.start_child(parent, mark, facts),
            None => self.engine.start(facts),
        };
        let Some(number) = number else { return };
        self.numbers.insert((idx, generation), number);
        self.pids.insert(number, pid);
        self.pythons.extend(python.map(|version| (number, version)));
        self.tenants[idx] = Some(Tenant::new(number, pid, started_ns));
        if is_replaced {
            self.replace(idx);
        }
    }

    /// Another slot of this process, and when that was taken: it has executed another program.
    fn same_process(&self, idx: usize, pid: i32) -> Option<(usize, u64)> {
        let others = self.tenants.iter().enumerate().filter(|(other, _)| *other != idx);
        let same = others.filter_map(|(other, tenant)| Some((other, tenant.as_ref()?)));
        same.filter(|(_, tenant)| tenant.pid == pid).map(|(other, tenant)| (other, tenant.started_ns)).next()
    }

    /// The process in a slot has executed another program, which has a slot of its own.
    fn replace(&mut self, idx: usize) {
        while self.drain(idx) > 0 {}
        self.leave(idx, TaskEnd { t_ns: self.now(), reason: TaskEnd::EXEC.into(), code: 0 });
    }

    fn task_facts(&self, pid: i32, parent: Option<u32>, how: &str, python: Option<String>) -> Vec<Fact> {
        let words = heapray_linux::command_line(pid).unwrap_or_default();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let parent = parent.map_or(-1, i64::from);
        let mut facts = vec![
            tenant::int("pid", pid.unsigned_abs().into()),
            Fact { name: "parent".into(), value: FactValue::Int(parent) },
            tenant::int("start_ns", self.now()),
            tenant::text("command", &words.join(" ")),
            tenant::text("how", how),
        ];
        let executable = heapray_linux::executable(pid).ok();
        facts.extend(executable.map(|path| tenant::text("executable", &path.to_string_lossy())));
        facts.extend(python.map(|version| tenant::text("python", &version)));
        facts
    }

    /// How a process ended that somebody else has reaped and told us about.
    fn known_end(&self, pid: i32) -> Option<TaskEnd> {
        let (_, end) = self.known_ends.iter().find(|(known, _)| *known == pid)?;
        Some(TaskEnd { t_ns: self.now(), ..end.clone() })
    }

    /// How a process that is gone has ended.
    fn end_of(&self, tenant: &Tenant, state: u32) -> TaskEnd {
        let t_ns = self.now();
        if let Some(end) = self.known_end(tenant.pid) {
            return end;
        }
        let code =
            heapray_linux::stat(tenant.pid).ok().filter(|stat| stat.state == 'Z').map(|stat| stat.exit_code);
        match code {
            Some(code) if code & 0x7f != 0 => TaskEnd { t_ns, reason: "killed".into(), code: code & 0x7f },
            Some(code) => TaskEnd { t_ns, reason: "exited".into(), code: code >> 8 },
            None if state == SLOT_RELEASED && !has_ended(tenant) => {
                TaskEnd { t_ns, reason: "stopped".into(), code: 0 }
            }
            None => TaskEnd { t_ns, reason: TaskEnd::UNSEEN.into(), code: 0 },
        }
    }

    /// A process is gone: its slot is made free for others.
    fn leave(&mut self, idx: usize, end: TaskEnd) {
        let Some(tenant) = self.tenants[idx].take() else { return };
        let t_ns = self.now();
        if let Some(slot) = self.slots.get(idx) {
            tenant.drain_young(&slot, &mut self.engine, Now { t_ns, buffer: &mut self.buffer });
            let mut facts = tenant::status(slot.header());
            facts.extend(self.pauses.fact(t_ns));
            let of = |name: &str| match facts.iter().find(|fact| fact.name == name).map(|fact| &fact.value) {
                Some(FactValue::Int(value)) => value.unsigned_abs(),
                _ => 0,
            };
            self.ended.n_events += self.engine.events_of(tenant.number);
            self.ended.lost.0 += of("lost_events");
            self.ended.lost.1 += of("lost_frees");
            self.ended.hook_ns += of("hook_ns");
            self.ended.other_pythons += u64::from(slot.header().has_other_python.load(Ordering::Relaxed));
            self.engine.status(tenant.number, facts);
        }
        let is_over = end.reason != "stopped" && end.reason != "detached";
        // Its pid lives on in another slot; the program that wrote this one is gone.
        let is_replaced = end.reason == TaskEnd::EXEC;
        self.engine.end(tenant.number, end);
        if is_replaced || is_over && has_ended(&tenant) || !is_over && self.is_released(idx) {
            self.give_back(idx);
        }
    }

    /// Makes a slot that nobody writes free for others, who may take it at once.
    fn give_back(&self, idx: usize) {
        // What cannot be given back stays until the file goes.
        let _kept = self.slots.wipe(idx);
        if let Some(claim) = self.slots.claim(idx) {
            claim.state.store(SLOT_FREE, Ordering::Release);
        }
    }

    fn is_released(&self, idx: usize) -> bool {
        self.slots.claim(idx).is_some_and(|claim| claim.state.load(Ordering::Acquire) == SLOT_RELEASED)
    }

    /// Does what `heapray on`, `off` and `detach` ask for; whether it was the latter.
    fn obey(&mut self) -> bool {
        match self.slots.take_command() {
            COMMAND_DETACH => return true,
            COMMAND_ON if !self.failed => self.set_recording(true),
            COMMAND_OFF => self.set_recording(false),
            _ => {}
        }
        false
    }

    fn write(&mut self, ask: impl FnOnce(&mut Engine, &mut NativeFiles<'_>)) {
        let slots = &self.slots;
        let beat = || slots.beat();
        let mut native = NativeFiles { pids: &self.pids, files: &mut self.files, beat: &beat };
        ask(&mut self.engine, &mut native);
        let chunks = self.engine.take_chunks();
        if !self.failed {
            self.output.write(chunks);
        }
    }
}

fn has_ended(tenant: &Tenant) -> bool {
    match &tenant.pidfd {
        Some(pidfd) => heapray_linux::poll(&[std::os::fd::AsFd::as_fd(pidfd)], Duration::ZERO)
            .is_ok_and(|ready| ready.first() == Some(&true)),
        None => heapray_linux::stat(tenant.pid).map_or(true, |stat| stat.state == 'Z'),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
