//! Clients of the guest's services, which judge every answer.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{GUEST, PATIENCE, eventually};

/// Lines that are under way at the same time, so that a lost or repeated one shifts the answers.
const AHEAD: u64 = 4;
/// Bytes that a flood sends at once.
const FLOOD_BYTES: u64 = 8192;

/// A connection to a port of the guest, once the guest answers.
pub fn connect(port: u16) -> TcpStream {
    connect_at(GUEST, port)
}

/// The same at an address of the guest's.
pub fn connect_at(address: &str, port: u16) -> TcpStream {
    let address: SocketAddr = format!("{address}:{port}").parse().expect("address");
    let stream = eventually("the guest takes a connection", || {
        TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()
    });
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// One connection to the counter service, always asking.
pub struct Traffic {
    stream: TcpStream,
    answers: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    asker: Option<JoinHandle<Result<(), String>>>,
}

impl Traffic {
    /// Connects as soon as the guest is up.
    pub fn start() -> Self {
        let stream = connect(7000);
        let (answers, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let asker = thread::spawn({
            let (stream, answers, over) = (
                stream.try_clone().expect("clone"),
                Arc::clone(&answers),
                Arc::clone(&over),
            );
            move || match converse(&stream, &answers, &over) {
                Err(_) if over.load(Ordering::Relaxed) => Ok(()),
                outcome => outcome,
            }
        });
        Self {
            stream,
            answers,
            over,
            asker: Some(asker),
        }
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Waits for `more` answers from now on.
    pub fn flows(&mut self, more: u64) {
        let goal = self.answers() + more;
        eventually("the guest answers on the same connection", || {
            self.check();
            (self.answers() >= goal).then_some(())
        });
    }

    /// Ends it; every answer must have been right.
    pub fn finish(mut self) -> u64 {
        self.check();
        self.hang_up();
        self.answers()
    }

    fn check(&mut self) {
        if self.asker.as_ref().is_some_and(JoinHandle::is_finished) {
            let outcome = self.asker.take().map(JoinHandle::join);
            panic!("the connection to the guest: {outcome:?}");
        }
    }

    fn hang_up(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(asker) = self.asker.take() {
            let outcome = asker.join().expect("the client does not panic");
            if !thread::panicking() {
                outcome.expect("every answer is right");
            }
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Sends numbered lines; every answer must name the next line and the next value of the counter.
fn converse(mut stream: &TcpStream, answers: &AtomicU64, over: &AtomicBool) -> Result<(), String> {
    let mut lines = BufReader::new(stream);
    let (mut asked, mut answered, mut counter, mut line) = (0, 0, None, String::new());
    while !over.load(Ordering::Relaxed) {
        while asked < answered + AHEAD {
            writeln!(stream, "{asked}").map_err(|error| format!("asking {asked}: {error}"))?;
            asked += 1;
        }
        line.clear();
        let length = lines
            .read_line(&mut line)
            .map_err(|error| format!("answer {answered}: {error}"))?;
        if length == 0 {
            return Err(format!("the guest hung up before answer {answered}"));
        }
        let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        let &[number, value] = &numbers[..] else {
            return Err(format!("answer {answered} is {line:?}"));
        };
        if number != answered || counter.is_some_and(|last| value != last + 1) {
            return Err(format!(
                "answer {answered} is {line:?}, the counter was {counter:?}: lost or repeated"
            ));
        }
        (answered, counter) = (answered + 1, Some(value));
        answers.store(answered, Ordering::Relaxed);
        // Leaves the processor to the engines.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Tells the service something on a connection of its own; returns the answer if one is expected.
pub fn tell(line: &str, expect_answer: bool) -> String {
    let mut stream = connect(7000);
    writeln!(stream, "{line}").expect("send");
    let mut answer = String::new();
    if expect_answer {
        BufReader::new(stream)
            .read_line(&mut answer)
            .expect("answer");
    } else {
        // The guest is gone: a reset, silence or an end are all as good.
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("timeout");
        let _ = stream.read(&mut [0; 1]);
    }
    answer
}

/// A connection to the echo service that is kept full in both directions; every byte must come back.
pub struct Flood {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
    echoed: Arc<AtomicU64>,
    /// Nothing more is sent.
    enough: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Flood {
    /// Connects and starts.
    pub fn start() -> Self {
        Self::on(connect(7))
    }

    /// Starts on this connection to the echo service.
    pub fn on(stream: TcpStream) -> Self {
        let (sent, echoed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (enough, over) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let sender = thread::spawn({
            let (mut stream, sent) = (stream.try_clone().expect("clone"), Arc::clone(&sent));
            let (enough, over) = (Arc::clone(&enough), Arc::clone(&over));
            move || {
                while !enough.load(Ordering::Relaxed) {
                    let position = sent.load(Ordering::Relaxed);
                    let chunk: Vec<u8> = (position..position + FLOOD_BYTES).map(pattern).collect();
                    match stream.write_all(&chunk) {
                        Ok(()) => sent.store(position + FLOOD_BYTES, Ordering::Relaxed),
                        Err(_) if over.load(Ordering::Relaxed) => break,
                        Err(error) => return Err(format!("sending byte {position}: {error}")),
                    }
                }
                Ok(())
            }
        });
        let receiver = thread::spawn({
            let (mut stream, over, echoed) = (
                stream.try_clone().expect("clone"),
                Arc::clone(&over),
                Arc::clone(&echoed),
            );
            move || {
                let (mut position, mut chunk) = (0_u64, vec![0; 65_536]);
                while !over.load(Ordering::Relaxed) {
                    let length = match stream.read(&mut chunk) {
                        Ok(length) if length > 0 => length,
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        _ if over.load(Ordering::Relaxed) => break,
                        other => return Err(format!("echo of byte {position}: {other:?}")),
                    };
                    for &byte in &chunk[..length] {
                        if byte != pattern(position) {
                            return Err(format!("echo of byte {position} is wrong"));
                        }
                        position += 1;
                    }
                    echoed.store(position, Ordering::Relaxed);
                }
                Ok(())
            }
        });
        Self {
            stream,
            sent,
            echoed,
            enough,
            over,
            threads: vec![sender, receiver],
        }
    }

    /// Waits for `more` bytes.
    pub fn flows(&self, more: u64) {
        let goal = self.echoed.load(Ordering::Relaxed) + more;
        eventually("the guest echoes on the same connection", || {
            (self.echoed.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Sends nothing more; everything that was sent must come back.
    pub fn settle(mut self) {
        self.enough.store(true, Ordering::Relaxed);
        eventually("everything that was sent comes back", || {
            let sent = self.sent.load(Ordering::Relaxed);
            (self.threads[0].is_finished() && self.echoed.load(Ordering::Relaxed) == sent)
                .then_some(())
        });
        for outcome in self.hang_up() {
            outcome.expect("every byte comes back");
        }
    }

    fn hang_up(&mut self) -> Vec<Result<(), String>> {
        self.enough.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
        let join = |thread: JoinHandle<_>| thread.join().expect("a client does not panic");
        self.threads.drain(..).map(join).collect()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// A byte that tells its place.
fn pattern(position: u64) -> u8 {
    let [low, middle, high, ..] = position.to_le_bytes();
    low ^ middle ^ high
}
