//! Stands between the engines and keeps what passes, as somebody on the network could.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::stranger::knock;

/// Carries the bytes between the engines, whatever they mean, and keeps what the caller has said.
pub struct Recorder {
    heard: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
    doorkeeper: Option<thread::JoinHandle<()>>,
}

impl Recorder {
    /// In front of the second node.
    pub fn before_the_second() -> Self {
        let listener = TcpListener::bind("10.77.2.12:7900").expect("the recorder's port");
        listener.set_nonblocking(true).expect("nonblocking");
        let (heard, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let doorkeeper = thread::spawn({
            let (heard, over) = (Arc::clone(&heard), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                    if let Ok((near, from)) = listener.accept() {
                        near.set_nonblocking(false).expect("blocking");
                        let far = knock(&from.ip().to_string());
                        far.set_read_timeout(None).expect("patience");
                        carry(&near, &far, Some(Arc::clone(&heard)));
                        carry(&far, &near, None);
                    }
                }
            }
        });
        Self {
            heard,
            over,
            doorkeeper: Some(doorkeeper),
        }
    }

    /// What it has heard so far.
    pub fn recorded(&self) -> Vec<u8> {
        self.heard.lock().expect("the record").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(doorkeeper) = self.doorkeeper.take() {
            let _ = doorkeeper.join();
        }
    }
}

/// One direction, until either side ends.
fn carry(from: &TcpStream, to: &TcpStream, record: Option<Arc<Mutex<Vec<u8>>>>) {
    let clone = |socket: &TcpStream| socket.try_clone().expect("clone");
    let (mut from, mut to) = (clone(from), clone(to));
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = from.read(&mut bytes)
            && count > 0
        {
            if let Some(record) = &record {
                let mut record = record.lock().expect("the record");
                if record.len() < 4 << 20 {
                    record.extend(&bytes[..count]);
                }
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
