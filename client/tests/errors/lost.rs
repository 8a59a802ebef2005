//! Calls that are late, whose session is lost, or whose client is closed.

use client::limits::BATCH_CALLS_MAX;
use client::{Error, Version, Why};
use testkit::process::{Signal, any_program};
use testkit::server::{Server, lasting_ports};

use crate::common::{connection, expect, handle, large_keys, large_records, start};
use crate::{LONG, SHORT};

const INDETERMINATE_DEADLINE: &str = "indeterminate, it may have been executed: its time was over";
pub(crate) const INDETERMINATE_LOST: &str =
    "indeterminate, it may have been executed: the session was lost";
const INDETERMINATE_CLOSED: &str =
    "indeterminate, it may have been executed: the client was closed";

/// What a stopped server's clients are told of writes: those that were sent, and the others.
fn assert_late(written: Vec<Result<Version, Error>>) -> Vec<u32> {
    let mut withdrawn = Vec::new();
    for (number, written) in (0..).zip(written) {
        if written == Err(Error::NotExecuted(Why::Deadline)) {
            expect(
                written,
                &Error::NotExecuted(Why::Deadline),
                "not executed: its time was over",
                true,
            );
            withdrawn.push(number);
        } else {
            let error = Error::Indeterminate(Why::Deadline);
            expect(written, &error, INDETERMINATE_DEADLINE, false);
        }
    }
    assert!((1..500).contains(&withdrawn.len()), "{}", withdrawn.len());
    withdrawn
}

#[test]
fn late_calls_are_unanswered_or_indeterminate_if_they_were_sent_and_else_not_executed() {
    let server = start(&[]);
    let mut connection = connection(server.address, SHORT);
    let handle = handle(server.address, SHORT);
    let stopped = server.stop();
    let (unanswered, text) = (Error::Unanswered(Why::Deadline), "not answered: its time was over");
    expect(connection.get(b"key"), &unanswered, text, true);
    expect(handle.get(b"key").wait(), &unanswered, text, true);
    let mut withdrawn = assert_late(connection.put_many(&large_records(500)));
    let of_handle = assert_late(handle.put_many(&large_records(500)).wait().unwrap());
    drop(stopped);
    withdrawn.retain(|number| of_handle.contains(number));
    assert!(!withdrawn.is_empty());
    // Answered behind all that was sent before.
    connection.set_timeout(LONG);
    for number in withdrawn {
        assert_eq!(connection.get(&number.to_be_bytes()), Ok(None), "it was executed");
    }
}

#[test]
fn writes_of_a_lost_session_are_indeterminate_and_reads_are_asked_again() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    let write_of_handle = {
        server.process.signal(Signal::STOP);
        handle.put(b"by handle", b"value")
    };
    let read_of_handle = handle.get(b"by handle");
    let restarted = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut pipeline = connection.pipeline();
            pipeline.put(b"by connection", b"value");
            pipeline.get(b"by connection");
            pipeline.run()
        });
        server.restart(&any, &[]);
        writer.join().unwrap()
    });
    let error = Error::Indeterminate(Why::SessionLost);
    let [write, read] = restarted.try_into().unwrap();
    assert!(write.is_ok() || write == Err(error.clone()), "{write:?}");
    assert!(read.is_ok(), "{read:?}");
    expect(write_of_handle.wait(), &error, INDETERMINATE_LOST, false);
    assert_eq!(read_of_handle.wait(), Ok(None));
}

#[test]
fn questions_to_a_worker_that_is_no_more_are_not_executed_or_not_answered() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(2), &any, &["--cores", "2"]);
    let client = handle(server.address, LONG);
    server.process.signal(Signal::STOP);
    // It is sent, and the other waits behind reads that fill the window.
    let sent = client.stats();
    let keys = large_keys(BATCH_CALLS_MAX as u32);
    let reads = client.get_many(&keys);
    let waiting = client.stats();
    server.restart(&any, &["--cores", "1"]);
    for (stats, error, text) in [
        (sent, Error::Unanswered(Why::SessionLost), "not answered: the session was lost"),
        (waiting, Error::NotExecuted(Why::SessionLost), "not executed: the session was lost"),
    ] {
        let [first, second] = stats.wait().unwrap().try_into().unwrap();
        assert!(first.counters.is_ok(), "{first:?}");
        expect(second.counters, &error, text, true);
    }
    let reads = reads.wait().unwrap();
    assert!(
        reads.iter().all(|read| *read == Ok(None)),
        "they are asked of the worker that is there"
    );
}

#[test]
fn what_is_outstanding_when_the_last_handle_is_dropped_is_told_so() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let _stopped = server.stop();
    let (read, write) = (client.get(b"key"), client.put(b"key", b"value"));
    let writes = client.put_many(&large_records(500));
    drop(client);
    expect(
        read.wait(),
        &Error::Unanswered(Why::Closed),
        "not answered: the client was closed",
        true,
    );
    expect(write.wait(), &Error::Indeterminate(Why::Closed), INDETERMINATE_CLOSED, false);
    let writes = writes.wait().unwrap();
    let not_executed = Error::NotExecuted(Why::Closed);
    let last = writes.last().cloned().unwrap();
    expect(last, &not_executed, "not executed: the client was closed", true);
    assert!(writes.contains(&Err(Error::Indeterminate(Why::Closed))));
}
