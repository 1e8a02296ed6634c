//! The key file that both hosts share.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use kemari_engine::link::secure::Key;

pub fn run(data: &[u8]) {
    let path = PathBuf::from(format!("/dev/shm/kemari-fuzz-key-{}", std::process::id()));
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).expect("a file in memory");
    file.write_all(data).expect("room");
    let read = Key::read(&path);
    std::fs::remove_file(&path).expect("it is there");
    match read {
        Ok(key) => assert!(key.fingerprint().starts_with("SHA256:")),
        // What is wrong may be told, what is in the file not.
        Err(refused) => assert!(!refused.to_string().contains("PRIVATE")),
    }
}

/// A key as `kemari keygen` makes it, of no secret.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![text().into_bytes()]
}

/// A path at which the key can be read as long as this process lives, and no longer.
pub fn path() -> PathBuf {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = PathBuf::from(format!(
            "/dev/shm/kemari-fuzz-own-key-{}",
            std::process::id()
        ));
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).expect("a file in memory");
        file.write_all(text().as_bytes()).expect("room");
        std::fs::remove_file(&path).expect("it is there");
        file
    });
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn text() -> String {
    let head: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let der = [&head[..], &[7; 32]].concat();
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for three in der.as_chunks::<3>().0 {
        let bits = three
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for shift in [18, 12, 6, 0] {
            let letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
                [(bits >> shift & 63) as usize];
            text.push(char::from(letter));
        }
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}
