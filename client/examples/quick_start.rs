//! Writes a record and reads it: `cargo run --example quick_start -- 127.0.0.1:7400`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use client::{Client, Error};

fn main() -> Result<(), Error> {
    let servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let client = Client::connect(&client::resolve(&servers)?)?;

    let version = client.put(b"greeting", b"hello").wait()?;
    println!("greeting: written as version {}", version.number());

    match client.get(b"greeting").wait()? {
        Some(record) => println!("greeting: {}", String::from_utf8_lossy(&record.value)),
        None => println!("greeting: not found"),
    }
    match client.get(b"farewell").wait()? {
        Some(record) => println!("farewell: {}", String::from_utf8_lossy(&record.value)),
        None => println!("farewell: not found"),
    }
    Ok(())
}
