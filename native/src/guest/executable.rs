//! Which build of QEMU runs: the same version is built by many people, with different devices in it.

use std::fs::File;
use std::io::{self, Read, Seek};

use object::{Object, ReadCache};
use xxhash_rust::xxh3::Xxh3;

/// Names the program that the process `pid` runs: by the build id in it (the note `.note.gnu.build-id`), or, where
/// there is none, by the digest of the whole file.
///
/// The process is asked, not the path that it was started from: that may be a script, or have been replaced since.
///
/// # Errors
/// If the program cannot be read.
pub fn build_of(pid: u32) -> io::Result<String> {
    let path = format!("/proc/{pid}/exe");
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot read {path}: {error}"));
    let file = File::open(&path).map_err(named)?;
    identify(file).map_err(named)
}

/// Names a program by its contents, as [`build_of`] does.
///
/// # Errors
/// If it cannot be read.
pub fn identify(mut file: impl Read + Seek) -> io::Result<String> {
    {
        let cache = ReadCache::new(&mut file);
        if let Ok(program) = object::File::parse(&cache)
            && let Ok(Some(id)) = program.build_id()
        {
            return Ok(id
                .iter()
                .fold(String::new(), |text, byte| format!("{text}{byte:02x}")));
        }
    }
    let mut digest = Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    file.rewind()?;
    loop {
        match file.read(&mut buffer)? {
            0 => {
                return Ok(format!(
                    "without a build id, digest {:016x}",
                    digest.digest()
                ));
            }
            count => digest.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_program_without_a_build_id_is_known_by_its_content() {
        let file = |content: &[u8]| {
            let mut file = tempfile::tempfile().expect("file");
            file.write_all(content).expect("write");
            identify(file).expect("read")
        };
        let (one, other) = (file(b"#!/bin/sh"), file(b"#!/bin/bash"));
        assert!(one.starts_with("without a build id"), "{one}");
        assert_ne!(one, other);
        assert_eq!(one, file(b"#!/bin/sh"));
    }

    #[test]
    fn a_running_program_is_known_by_its_build() {
        let ours = build_of(std::process::id()).expect("ours");
        assert_eq!(ours, build_of(std::process::id()).expect("again"));
        let missing = build_of(u32::MAX).expect_err("no such process");
        assert!(
            missing.to_string().contains("/proc/4294967295/exe"),
            "{missing}"
        );
    }
}
