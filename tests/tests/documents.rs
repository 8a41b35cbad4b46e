//! The README and the docs show what is in the repository. (That its code runs, the doc tests of this crate see to.)

const README: &str = include_str!("../../README.md");

#[test]
fn the_first_program_is_the_example() {
    let example = include_str!("../../crates/linchpin/examples/first.rs");
    let program = example.split_once("\n\n").expect("a title and a program").1;
    assert!(README.contains(program), "README.md and crates/linchpin/examples/first.rs differ");
    assert!(program.lines().count() < 20, "the first program has {} lines", program.lines().count());
}

#[test]
fn every_file_and_target_it_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    for file in [
        "docs/contract.md",
        "docs/adapter.md",
        "docs/conformance.md",
        "docs/architecture.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ] {
        assert!(README.contains(file) && root.join(file).exists(), "{file}");
    }
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("a Makefile");
    for target in ["demo", "test", "conformance"] {
        assert!(README.contains(&format!("make {target}")) && makefile.contains(&format!("\n{target}:")), "{target}");
    }
}

#[test]
fn the_contract_is_the_one_of_the_cases() {
    let page = include_str!("../../docs/contract.md");
    assert!(page == linchpin_conformance::contract(), "docs/contract.md is stale: run `make contract`");
}
