//! Prints `docs/backends.md` with its table as the backends are now: `make contract`.

#[tokio::main]
async fn main() -> Result<(), String> {
    print!("{}", linchpin_tests::backends::page(include_str!("../../docs/backends.md")).await?);
    Ok(())
}
