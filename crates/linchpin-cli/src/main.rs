//! The program `linchpin`.

fn main() -> std::process::ExitCode {
    linchpin_cli::main()
}
