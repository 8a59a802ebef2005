//! Has nothing to build: Cargo tells only packages with such a file where it builds, in
//! `OUT_DIR`.
#![forbid(unsafe_code)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
