//! A sync key, as `kemari keygen` makes one.

use std::cell::RefCell;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

thread_local! {
    static KEY: RefCell<PathBuf> = RefCell::default();
}

/// The key of the lab in whose thread this is.
pub fn of_this_lab() -> PathBuf {
    KEY.with_borrow(Clone::clone)
}

/// Makes the key of the lab in whose thread this is.
pub fn make(folder: &Path) {
    let path = folder.join("sync.key");
    write(&path);
    KEY.set(path);
}

/// Writes a key that nobody else has.
pub fn write(path: &Path) {
    // PKCS#8 of an Ed25519 key (RFC 8410): all of it but the key is always the same.
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let mut seed = [0; 32];
    let mut random = File::open("/dev/urandom").expect("random bytes");
    random.read_exact(&mut seed).expect("random bytes");
    der.extend(seed);
    let text = base64(&der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    fs::write(path, pem).expect("write the key");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("chmod");
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert_eq!(bytes.len() % 3, 0, "padding is not made here");
    let letters = bytes.chunks(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
    });
    letters.collect()
}
