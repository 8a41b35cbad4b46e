//! Prints `docs/contract.md`: `make contract`.

fn main() {
    print!("{}", linchpin_conformance::contract());
}
