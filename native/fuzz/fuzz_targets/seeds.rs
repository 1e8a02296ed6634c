//! Writes the seeds of every target into folders of their names below the one that is given, and prints the names. With
//! `replay TARGET FILE...` runs a target on files, without a fuzzer.

use std::path::PathBuf;
use std::process::ExitCode;

use kemari_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["replay", name, ref files @ ..] if let Some(target) = Target::by_name(name) => {
            for file in files {
                (target.run)(&std::fs::read(file).expect("the file"));
            }
        }
        [folder] if folder != "replay" => {
            for target in &TARGETS {
                let corpus = PathBuf::from(folder).join(target.name);
                std::fs::create_dir_all(&corpus).expect("a folder for the seeds");
                for (number, seed) in (target.seeds)().iter().enumerate() {
                    std::fs::write(corpus.join(format!("seed-{number}")), seed).expect("a seed");
                }
                println!("{}", target.name);
            }
        }
        _ => {
            eprintln!("usage: seeds FOLDER | seeds replay TARGET FILE...");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
