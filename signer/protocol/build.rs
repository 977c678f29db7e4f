//! Makes the Rust types of the checked-in definition.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=signer.proto");
    let definition = protox::compile(["signer.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(definition)?;
    Ok(())
}
