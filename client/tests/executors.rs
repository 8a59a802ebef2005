//! Futures of one handle, in any executor.
#![forbid(unsafe_code)]

mod common;

use std::time::Duration;

use client::{Client, Error, Version};

use common::executor::run_all;
use common::{counter, handle, start};

const LONG: Duration = Duration::from_secs(60);
const FUTURES: u32 = 64;
const ROUNDS: u32 = 50;

/// Writes and reads again and again, each call awaited.
async fn work(client: Client, number: u32) -> Result<Version, Error> {
    let mut last = client.put(&number.to_be_bytes(), b"first").await?;
    for round in 0..ROUNDS {
        let value = round.to_be_bytes();
        let version = client.put(&number.to_be_bytes(), &value).await?;
        assert!(version.number() > last.number());
        let read = client.get(&number.to_be_bytes()).await?.expect("it was written");
        assert_eq!((&read.value[..], read.version), (&value[..], version));
        last = version;
    }
    let read = client.get_many(&[number.to_be_bytes(), [0xff; 4]]).await?;
    assert!(matches!(&read[..], [Ok(Some(_)), Ok(None)]), "{read:?}");
    Ok(last)
}

#[test]
fn many_futures_share_a_handle_in_an_executor_of_one_thread() {
    let server = start(&["--cores", "2"]);
    let client = handle(server.address, LONG);
    let ends = run_all((0..FUTURES).map(|number| work(client.clone(), number)));
    assert_eq!(ends.len(), FUTURES as usize);
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    let mut asking = common::connection(server.address, LONG);
    assert_eq!(counter(&mut asking, "puts"), u64::from(FUTURES * (ROUNDS + 1)));
}

#[test]
fn many_futures_share_a_handle_in_tokio() {
    let server = start(&["--cores", "2"]);
    let client = handle(server.address, LONG);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let work = |number| tokio::spawn(work(client.clone(), number));
        let tasks: Vec<_> = (0..FUTURES).map(work).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}

#[test]
fn futures_move_between_threads_and_end_on_any() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    // Polled by one thread first, which is not there any more when they end.
    let stopped = server.stop();
    let calls: Vec<_> =
        (0..FUTURES).map(|number| client.put(&number.to_be_bytes(), b"v")).collect();
    let polled = std::thread::spawn(move || {
        let mut calls = calls;
        for call in &mut calls {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::Pin::new(call).poll(&mut context).is_pending());
        }
        calls
    });
    let calls = polled.join().unwrap();
    drop(stopped);
    assert!(run_all(calls).iter().all(Result::is_ok));
}
