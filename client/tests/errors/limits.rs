//! What is too large, and calls that too many others are before.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};
use std::thread::{self, ThreadId};
use std::time::Duration;

use client::limits::{BATCH_BYTES_MAX, BATCH_CALLS_MAX, COMMANDS_MAX, LINE_CALLS_MAX};
use client::{Call, Config, Connection, Error, TooLarge, Why};

use crate::LONG;
use crate::common::{connection, counter, expect, handle, large_keys, start};

#[test]
fn keys_outside_of_the_limits_are_too_large() {
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    for bytes in [0, 513] {
        let error = Error::TooLarge { what: TooLarge::Key { bytes, max: 512 } };
        let text = format!("a key has 1 to 512 bytes, and this one has {bytes}");
        let key = vec![b'k'; bytes];
        expect(connection.get(&key), &error, &text, false);
        expect(connection.put(&key, b"value"), &error, &text, false);
        expect(handle.get(&key).wait(), &error, &text, false);
        expect(handle.put(&key, b"value").wait(), &error, &text, false);
        expect(connection.get_many(&[&key]).remove(0), &error, &text, false);
        expect(handle.get_many(&[&key]).wait().unwrap().remove(0), &error, &text, false);
    }
    assert_eq!(connection.get(&[b'k'; 512]), Ok(None));
    assert_eq!(handle.get(&[b'k'; 1]).wait(), Ok(None));
    assert_eq!(counter(&mut connection, "puts"), 0);
}

#[test]
fn values_that_do_not_fit_in_a_datagram_with_their_key_are_too_large() {
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    // The header and the entry of the answer, which is longer than the write with such a key.
    let max = 1472 - 32 - 16;
    let error = Error::TooLarge { what: TooLarge::Value { bytes: max + 1, max } };
    let text = format!(
        "a value with this key has at most {max} bytes, so that it fits in a datagram, and this \
         one has {}",
        max + 1
    );
    let value = vec![7; max + 1];
    expect(connection.put(b"key", &value), &error, &text, false);
    expect(handle.put(b"key", &value).wait(), &error, &text, false);
    assert!(connection.put(b"key", &value[..max]).is_ok());
    assert_eq!(handle.get(b"key").wait().unwrap().unwrap().value, &value[..max]);
}

#[test]
fn a_stored_value_that_the_datagrams_of_a_connection_do_not_carry_is_too_large() {
    let server = start(&["--mtu", "4000"]);
    let large = Config::default().with_mtu_bytes(4000);
    let mut writer = Connection::connect_with(&[server.address], &large).unwrap();
    writer.put(b"key", &[7; 3000]).unwrap();
    let error = Error::TooLarge { what: TooLarge::Answer };
    let text = "the value is longer than a datagram of this connection carries: connect with a \
                larger MTU";
    expect(connection(server.address, LONG).get(b"key"), &error, text, false);
    expect(handle(server.address, LONG).get(b"key").wait(), &error, text, false);
}

#[test]
fn a_batch_for_a_handle_has_a_largest_size() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let (calls, max) = (BATCH_CALLS_MAX + 1, BATCH_CALLS_MAX);
    let error = Error::TooLarge { what: TooLarge::Batch { calls, max } };
    let text = "a batch has at most 65536 calls, and this one has 65537";
    expect(client.get_many(&vec![b"key"; calls]).wait(), &error, text, false);
    expect(client.put_many(&vec![(b"key", b"value"); calls]).wait(), &error, text, false);
    let read = client.get_many(&vec![b"key"; max]).wait().unwrap();
    assert!(read.iter().all(|read| *read == Ok(None)));
    let (bytes, max) = (16_000 * 1103, BATCH_BYTES_MAX);
    let error = Error::TooLarge { what: TooLarge::BatchBytes { bytes, max } };
    let text =
        "the keys and values of a batch have at most 16777216 bytes, and these have 17648000";
    expect(client.put_many(&vec![(b"key", [7; 1100]); 16_000]).wait(), &error, text, false);
}

#[test]
fn calls_beyond_the_line_are_not_sent() {
    let server = start(&[]);
    let client = handle(server.address, Duration::from_secs(5));
    let text = "not sent: too many calls wait already; slow down, then call again";
    let stopped = server.stop();
    let keys = large_keys(BATCH_CALLS_MAX as u32);
    let batches = LINE_CALLS_MAX / BATCH_CALLS_MAX + 1;
    let batches: Vec<_> = (0..batches).map(|_| client.get_many(&keys)).collect();
    let mut not_sent = 0;
    for batch in batches {
        for read in batch.wait().unwrap() {
            match read {
                Err(Error::NotSent) => not_sent += 1,
                read => assert!(
                    matches!(
                        read,
                        Err(Error::Unanswered(Why::Deadline) | Error::NotExecuted(Why::Deadline))
                    ),
                    "{read:?}"
                ),
            }
        }
    }
    // A line takes half of the room for all.
    let beyond = LINE_CALLS_MAX / 2;
    assert!((beyond..=beyond + BATCH_CALLS_MAX).contains(&not_sent), "{not_sent}");
    // More bytes than may wait.
    let values = vec![(b"key", [7; 1400]); 10_000];
    let batches: Vec<_> = (0..5).map(|_| client.put_many(&values)).collect();
    let results = batches.into_iter().flat_map(|batch| batch.wait().unwrap());
    let refused = results.filter_map(Result::err).find(|error| *error == Error::NotSent);
    expect(refused.map_or(Ok(()), Err), &Error::NotSent, text, true);
    drop(stopped);
    assert_eq!(client.get(b"key").wait(), Ok(None), "it went on");
}

#[test]
fn a_connection_waits_for_room_itself_and_sends_what_its_time_allows() {
    let server = start(&[]);
    let mut connection = connection(server.address, Duration::from_secs(3));
    let stopped = server.stop();
    let keys = large_keys(LINE_CALLS_MAX as u32 + 100_000);
    let read = connection.get_many(&keys);
    assert!(!read.contains(&Err(Error::NotSent)));
    assert!(read.contains(&Err(Error::NotExecuted(Why::Deadline))));
    assert!(read.contains(&Err(Error::Unanswered(Why::Deadline))));
    drop(stopped);
    connection.set_timeout(LONG);
    assert_eq!(connection.get(b"key"), Ok(None), "it went on");
}

#[test]
fn a_thread_that_waits_goes_on_while_that_of_its_handle_is_held_up() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    // The thread of the handle is held up by somebody who is woken there.
    let (wake, woken) = channel::<()>();
    let (enter, entered) = channel::<()>();
    let caller = thread::current().id();
    let waker = Arc::new(Holds { caller, enter, woken: Mutex::new(woken) }).into();
    let mut call = client.get(b"key");
    if Pin::new(&mut call).poll(&mut Context::from_waker(&waker)).is_pending() {
        entered.recv().unwrap();
        // More than wait in its queue.
        let calls: Vec<_> = (0..COMMANDS_MAX + 9).map(|_| client.get(b"key")).collect();
        assert!(calls.into_iter().map(Call::wait).all(|end| end == Ok(None)));
        wake.send(()).unwrap();
    }
}

/// A waker that holds up who wakes, but for the thread that polls.
struct Holds {
    caller: ThreadId,
    enter: Sender<()>,
    woken: Mutex<Receiver<()>>,
}

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        if thread::current().id() != self.caller {
            self.enter.send(()).unwrap();
            self.woken.lock().unwrap().recv().unwrap();
        }
    }
}
