//! Attaching and detaching again and again: a busy service with many threads loses no request, and nothing of us stays in it.
//!
//! 50 cycles; 1,000 where HEAPRAY_FULL is set.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use heapray_attach::{AttachOptions, attach_agent};
use support::Target;

/// Answers each line with its digest, with a thread per connection, and starts threads that end at once besides.
const SERVICE: &str = "import hashlib, json\n\
    def serve(connection):\n\
    \x20 with connection, connection.makefile('rw') as stream:\n\
    \x20   for line in stream:\n\
    \x20     data = json.loads(json.dumps({'line': line, 'parts': line.split('-') * 20}))\n\
    \x20     stream.write(hashlib.sha1(data['line'].encode()).hexdigest() + '\\n'); stream.flush()\n\
    def churn():\n\
    \x20 while True:\n\
    \x20   thread = threading.Thread(target=lambda: [bytes(1000) for _ in range(50)]); thread.start(); thread.join()\n\
    listener = socket.create_server(('127.0.0.1', 0))\n\
    say('ready')\n\
    say(listener.getsockname()[1])\n\
    threading.Thread(target=churn, daemon=True).start()\n\
    while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()\n";
const N_CLIENTS: usize = 4;

/// Sends requests until it is told to stop; panics at a wrong or missing answer.
fn client(port: u16, stop: &AtomicBool, n_requests: &AtomicU64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    let mut answers = BufReader::new(stream.try_clone().expect("a socket"));
    let mut expected = std::collections::BTreeMap::new();
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // The same ten requests again and again: the first answer, given before any agent came, is the oracle.
        let request = format!("request-{}-of-a-client\n", n % 10);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("it answers");
        assert_eq!(answer.len(), 41, "{answer}");
        let first = expected.entry(n % 10).or_insert_with(|| answer.clone());
        assert_eq!(&answer, first);
        n_requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// Mappings without those of threads' stacks, which come and go; descriptors; resident bytes.
fn footprint(pid: i32) -> (usize, usize, u64) {
    let mappings = heapray_linux::mappings(pid).expect("it lives");
    let is_ours = |mapping: &&heapray_linux::Mapping| {
        mapping.path.starts_with("/memfd:") || (mapping.exec && mapping.inode == 0 && mapping.path.is_empty())
    };
    let n_descriptors = heapray_linux::file_descriptors(pid).expect("it lives").len();
    let resident = heapray_linux::status(pid).expect("it lives").resident_bytes;
    (mappings.iter().filter(is_ours).count(), n_descriptors, resident)
}

#[test]
fn a_busy_service_loses_no_request_and_keeps_nothing() {
    let n_cycles = if std::env::var_os("HEAPRAY_FULL").is_some() { 1000 } else { 50 };
    let mut target = Target::start(SERVICE);
    let port: u16 = target.line().parse().expect("a port");
    let (stop, n_requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..N_CLIENTS)
        .map(|_| {
            let (stop, n_requests) = (Arc::clone(&stop), Arc::clone(&n_requests));
            std::thread::spawn(move || client(port, &stop, &n_requests))
        })
        .collect();
    let wait_for = |n: u64| {
        support::wait_until("requests are answered", || {
            n_requests.load(Ordering::Relaxed) >= n
                || clients.iter().any(std::thread::JoinHandle::is_finished)
        });
    };
    // Every oracle has been heard, and the service's memory has settled.
    wait_for(2000);
    let (_, n_descriptors, before) = footprint(target.pid());
    let mut pauses = Vec::new();
    for n in 0..n_cycles {
        let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached");
        wait_for(n_requests.load(Ordering::Relaxed) + 20);
        pauses.push(attached.pause.max(Duration::ZERO));
        let detached = attached.detach().expect("detached");
        assert_eq!(detached.left_mapped, None, "cycle {n}");
        pauses.push(detached.pause);
    }
    stop.store(true, Ordering::Relaxed);
    let n_before = n_requests.load(Ordering::Relaxed);
    for client in clients {
        client.join().expect("no request was lost");
    }
    pauses.sort_unstable();
    let (n_ours, n_after, after) = footprint(target.pid());
    assert_eq!((n_ours, n_after <= n_descriptors), (0, true), "mappings of ours, descriptors");
    assert!(
        after < before + (8 << 20),
        "{before} bytes were resident, then {after}, after {n_cycles} cycles"
    );
    let line = format!(
        "{n_cycles} cycles, {n_before} requests, stops: median {:?}, longest {:?}, {before} to {after} bytes\n",
        pauses[pauses.len() / 2],
        pauses.last().expect("cycles")
    );
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}
