//! A bounded load on the story's service that counts every request that was not answered.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ROWS: usize = 100;
const WIDTH: usize = 64;

/// What a load has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered with status 200.
    pub answered: u64,
    /// Requests refused, cut off, or answered otherwise; none is tried again.
    pub failed: u64,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

/// Posts vectors over a few keep-alive connections until stopped.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
    slowest_us: AtomicU64,
}

impl Load {
    /// `connections` clients on `port`, each with `pause` between an answer and its next request.
    pub fn start(port: u16, connections: usize, pause: Duration) -> Load {
        let shared = Arc::new(Shared::default());
        let client = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || run(port, pause, &shared))
        };
        let clients = (0..connections).map(client).collect();
        Load { shared, clients }
    }

    /// Waits until `n` requests were answered; panics where that takes more than a minute.
    pub fn wait_for(&self, n: u64) {
        let began = Instant::now();
        while self.shared.answered.load(Ordering::Relaxed) < n {
            assert!(began.elapsed() < Duration::from_secs(60), "the service answers: {:?}", self.totals());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        Totals {
            answered: self.shared.answered.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            slowest: Duration::from_micros(self.shared.slowest_us.load(Ordering::Relaxed)),
        }
    }

    /// Ends the load; the totals.
    pub fn stop(mut self) -> Totals {
        self.end();
        self.totals()
    }

    fn end(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client of the load does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(port: u16, pause: Duration, shared: &Shared) {
    let request = request();
    let mut connection = None;
    while !shared.ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        match exchange(port, &mut connection, &request) {
            Ok(()) => shared.answered.fetch_add(1, Ordering::Relaxed),
            Err(_) => {
                connection = None;
                shared.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        let waited_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.slowest_us.fetch_max(waited_us, Ordering::Relaxed);
        std::thread::sleep(pause);
    }
}

/// One POST of ROWS vectors of WIDTH numbers.
fn request() -> Vec<u8> {
    let row = format!("[{}]", vec!["0.5"; WIDTH].join(","));
    let body = format!("{{\"rows\":[{}]}}", vec![row.as_str(); ROWS].join(","));
    let head =
        "POST /normalize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length:";
    format!("{head} {}\r\n\r\n{body}", body.len()).into_bytes()
}

type Connection = Option<BufReader<TcpStream>>;

/// Sends `request` and reads the whole answer; connects first where there is no connection.
fn exchange(port: u16, connection: &mut Connection, request: &[u8]) -> Result<(), Error> {
    let reader = match connection {
        Some(reader) => reader,
        None => connection.insert(connect(port)?),
    };
    reader.get_mut().write_all(request)?;
    if read_answer(reader)? {
        *connection = None;
    }
    Ok(())
}

fn connect(port: u16) -> Result<BufReader<TcpStream>, Error> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Reads one answer; whether the server closes the connection after it.
fn read_answer(reader: &mut BufReader<TcpStream>) -> Result<bool, Error> {
    let broken = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
    let (mut line, mut length, mut closes) = (String::new(), None, false);
    reader.read_line(&mut line)?;
    if !line.contains(" 200 ") {
        return Err(broken(&line));
    }
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.trim().to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("content-length", n)) => length = n.trim().parse().ok(),
            Some(("connection", how)) => closes = how.trim() == "close",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length.ok_or_else(|| broken("no length"))?];
    reader.read_exact(&mut body)?;
    Ok(closes)
}
