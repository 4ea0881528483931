//! A stand-in for the agent that the tests of `attach` map into targets: it uses every register, has relocations, maps a
//! page, and fails on request. Built by the tests themselves, for processes of x86-64.
//!
//! Unsafe: exported symbols, system calls, the words of the slot.
#![no_std]
#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Pairs of address and bytes, as the agent keeps them.
#[unsafe(no_mangle)]
pub static HEAPRAY_PAGES: [AtomicU64; 128] = [const { AtomicU64::new(0) }; 128];

static FIRST: AtomicU64 = AtomicU64::new(11);
static SECOND: AtomicU64 = AtomicU64::new(22);
/// Words that must be relocated.
static TABLE: [&AtomicU64; 2] = [&FIRST, &SECOND];
static SLOT: AtomicU64 = AtomicU64::new(0);

const MMAP: u64 = 9;
const NANOSLEEP: u64 = 35;
/// Where `SlotHeader::hooked` lies.
const HOOKED_OFFSET: u64 = 40;
const RING_MAGIC: u64 = u64::from_le_bytes(*b"hrayring");

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

fn syscall(number: u64, args: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the calls that are made here touch only what their arguments say.
    unsafe {
        asm!(
            "syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5], out("rcx") _, out("r11") _,
        );
    }
    result
}

fn word(at: u64) -> &'static AtomicU64 {
    // SAFETY: the test has mapped control area and slot.
    unsafe { &*(at as *const AtomicU64) }
}

/// Leaves nothing in any register as it was.
fn use_all_registers() {
    // SAFETY: all that is changed is declared, but for what a caller must save itself.
    unsafe {
        asm!(
            "pcmpeqd xmm0, xmm0", "pcmpeqd xmm1, xmm1", "pcmpeqd xmm2, xmm2", "pcmpeqd xmm3, xmm3",
            "pcmpeqd xmm4, xmm4", "pcmpeqd xmm5, xmm5", "pcmpeqd xmm6, xmm6", "pcmpeqd xmm7, xmm7",
            "pcmpeqd xmm8, xmm8", "pcmpeqd xmm9, xmm9", "pcmpeqd xmm10, xmm10", "pcmpeqd xmm11, xmm11",
            "pcmpeqd xmm12, xmm12", "pcmpeqd xmm13, xmm13", "pcmpeqd xmm14, xmm14", "pcmpeqd xmm15, xmm15",
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _,
            out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
}

/// Checks what it is given and writes to the slot: `hooked`, and behind the header the address of [`dwell`].
#[unsafe(no_mangle)]
pub extern "C" fn heapray_start(start: *const u64) -> i64 {
    // SAFETY: `start` is a `ring::Start`, which is longer.
    let [magic, _, control, slot] = unsafe { start.cast::<[u64; 4]>().read() };
    use_all_registers();
    let relocated = TABLE[0].load(SeqCst) == 11 && TABLE[1].load(SeqCst) == 22;
    if magic != RING_MAGIC || word(control).load(SeqCst) != RING_MAGIC || !relocated {
        return -1001;
    }
    if cfg!(refuse) {
        return -1003;
    }
    if cfg!(crash) {
        word(8).load(SeqCst);
    }
    while cfg!(hang) {}
    let page = syscall(MMAP, [0, 8192, 3, 0x22, u64::MAX, 0]);
    HEAPRAY_PAGES[0].store(page as u64, SeqCst);
    HEAPRAY_PAGES[1].store(8192, SeqCst);
    SLOT.store(slot, SeqCst);
    word(slot + 4096).store(dwell as *const () as u64, SeqCst);
    word(slot + HOOKED_OFFSET).fetch_or(1, SeqCst);
    0
}

/// Takes nothing out, for nothing was put in.
#[unsafe(no_mangle)]
pub extern "C" fn heapray_stop(_: u64) -> i64 {
    use_all_registers();
    word(SLOT.load(SeqCst) + 4104).store(77, SeqCst);
    i64::from(cfg!(held))
}

/// Stays inside the image until the word behind its own address in the slot is 1.
#[unsafe(no_mangle)]
pub extern "C" fn dwell() {
    let span = [0u64, 1_000_000];
    let slot = SLOT.load(SeqCst);
    word(slot + 4112).store(1, SeqCst);
    while word(slot + 4112).load(SeqCst) == 1 {
        syscall(NANOSLEEP, [span.as_ptr() as u64, 0, 0, 0, 0, 0]);
    }
}
