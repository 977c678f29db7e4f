//! `trstctl-dr`: see the library of this crate.

fn main() -> std::process::ExitCode {
    trstctl_dr::main()
}
