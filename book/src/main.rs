//! `cargo run -p linchpin-book [FOLDER]` builds the book into `target/book`, or another folder.

use linchpin_book::{build, repository};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let into = std::env::args_os().nth(1).map_or_else(|| repository().join("target/book"), PathBuf::from);
    match build(&repository(), &into) {
        Ok(problems) if problems.is_empty() => {
            println!("the book is in {}", into.display());
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            eprintln!("{}", problems.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the book cannot be built: {error:#}");
            ExitCode::FAILURE
        }
    }
}
