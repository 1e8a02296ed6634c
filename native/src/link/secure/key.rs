//! The key that both hosts share: an Ed25519 key in one file, made by `kemari keygen` and copied to the other host, as
//! corosync's authkey is. Whoever has the file is the other host.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::SUITE;
use crate::limits::KEY_FILE_MAX_BYTES;

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error(
        "cannot read the sync key {path}: make it once with \"kemari keygen\" and copy the file to the other host"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it, or it is not ours.
    #[error(
        "the sync key {path} is open to others (mode {mode:04o}, owner {owner}): chown root and chmod 600 it; make a new \
         one if it may have been read"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It is something else.
    #[error("{path} is no sync key ({what}): make one with \"kemari keygen\"")]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong; nothing of the contents.
        what: &'static str,
    },
}

/// A key that was read.
#[derive(Debug, Clone)]
pub struct Key {
    pub(super) certified: Arc<CertifiedKey>,
    fingerprint: String,
}

impl Key {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// A [`KeyError`] that names the file and the remedy.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let wrong = |what| KeyError::Contents {
            path: path.to_owned(),
            what,
        };
        // Not to wait for a writer, should it be a pipe.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
        let mut options = std::fs::File::options();
        options.read(true).custom_flags(nonblocking.cast_signed());
        let file = options.open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(wrong("not a file"));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        let owner = metadata.uid();
        let ours = [0, rustix::process::geteuid().as_raw()];
        if mode & 0o077 != 0 || !ours.contains(&owner) {
            return Err(KeyError::Open {
                path: path.to_owned(),
                mode,
                owner,
            });
        }
        let mut pem = Vec::new();
        file.take(KEY_FILE_MAX_BYTES + 1)
            .read_to_end(&mut pem)
            .map_err(unreadable)?;
        if pem.len() as u64 > KEY_FILE_MAX_BYTES {
            return Err(wrong("too long"));
        }
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| wrong("no PEM of PKCS#8"))?;
        let signer = any_eddsa_type(&der).map_err(|_| wrong("not of the kind Ed25519"))?;
        let public = signer.public_key().ok_or_else(|| wrong("no public half"))?;
        let public = CertificateDer::from(public.as_ref().to_vec());
        Ok(Self {
            fingerprint: fingerprint(&public),
            certified: Arc::new(CertifiedKey::new(vec![public], signer)),
        })
    }

    /// What names the key without giving it away: SHA-256 of its public half (DER), as `kemari keygen` prints it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The public half (`SubjectPublicKeyInfo`, DER).
    pub(super) fn public(&self) -> &[u8] {
        &self.certified.cert[0]
    }
}

/// The fingerprint of a public key.
pub(super) fn fingerprint(public: &[u8]) -> String {
    let digest = SUITE
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(public));
    let bytes = digest.as_ref().map_or(&[][..], AsRef::as_ref);
    let mut text = "SHA256:".to_owned();
    for byte in bytes {
        let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
        text.extend(digits.into_iter().flatten());
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key file of the seed repeated 32 times, as `kemari keygen` would write it.
    pub(crate) fn key_file(folder: &Path, seed: u8) -> PathBuf {
        let path = folder.join(format!("key-{seed}"));
        let mut der = vec![
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        der.extend([seed; 32]);
        let text = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64(&der)
        );
        std::fs::write(&path, text).expect("write");
        set_mode(&path, 0o600);
        path
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert_eq!(bytes.len() % 3, 0);
        let letters = bytes.chunks(3).flat_map(|three| {
            let bits = three
                .iter()
                .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
        });
        letters.collect()
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn a_key_is_read_and_named_without_being_shown() {
        let folder = tempfile::tempdir().expect("folder");
        let key = Key::read(&key_file(folder.path(), 7)).expect("a key");
        let other = Key::read(&key_file(folder.path(), 8)).expect("a key");
        // test/actions/keygen.test.ts has the same.
        let hex = "324be2dea8bc44461b0233e51fa48902ed6b1cc671e7739af2551e0bfe68f54e";
        assert_eq!(key.fingerprint(), format!("SHA256:{hex}"));
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert!(!format!("{key:?}").contains("7, 7, 7"), "{key:?}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = key_file(folder.path(), 7);
        for mode in [0o640, 0o604, 0o610, 0o601, 0o622] {
            set_mode(&path, mode);
            let error = Key::read(&path).expect_err("open to others").to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
        set_mode(&path, 0o400);
        assert!(Key::read(&path).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        let error = Key::read(&path).expect_err("missing").to_string();
        assert!(error.contains("kemari keygen"), "{error}");
        let long = vec![b'x'; 100_000];
        let rsa = b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        for (contents, what) in [
            (&b""[..], "no PEM"),
            (b"secret", "no PEM"),
            (rsa, "Ed25519"),
            (&long, "too long"),
        ] {
            std::fs::write(&path, contents).expect("write");
            set_mode(&path, 0o600);
            let error = Key::read(&path).expect_err(what).to_string();
            assert!(error.contains(what) && !error.contains("secret"), "{error}");
        }
        let error = Key::read(folder.path()).expect_err("a folder").to_string();
        assert!(error.contains("not a file"), "{error}");
    }
}
