//! Somebody on the path sends in a client's session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::{Error, Why};
use proto::pack;
use proto::unpack;
use proto::wire::{HEADER_BYTES, Kind, Op};
use testkit::networks::Filter;
use testkit::relay::{Direction, Passage, Relay};

use crate::LONG;
use crate::common::{connection, expect, handle, start};

/// In the place of the next request of a PUT a forged one arrives, and the answer to that is
/// lost; the genuine request comes when it is sent again.
fn forge(passage: &mut Passage, is_due: &AtomicBool, hides: &mut bool) -> bool {
    let (kind, mut header) = unpack::header(&passage.bytes).expect("one of ours");
    match (passage.direction, kind) {
        (Direction::ToServer, Kind::Request) if header.entries > 0 => {
            *hides = is_due.swap(false, Ordering::Relaxed);
            if *hides {
                let mut forged = vec![0; HEADER_BYTES];
                pack::request_entry(&mut forged, Op::Put, b"other", b"forged");
                header.entries = 1;
                pack::seal(&mut forged, header);
                passage.bytes = forged;
            }
            true
        }
        (Direction::ToClient, Kind::Reply) => !*hides,
        _ => true,
    }
}

#[test]
fn a_write_whose_sequence_was_taken_is_indeterminate_and_not_done() {
    let server = start(&[]);
    let is_due = Arc::new(AtomicBool::new(false));
    let (due, mut hides) = (is_due.clone(), false);
    let filter = move |passage: &mut Passage| forge(passage, &due, &mut hides);
    let relay = Relay::start(&[server.address], Filter(filter));
    let mut connection = connection(relay.fronts[0], LONG);
    let handle = handle(relay.fronts[0], LONG);
    let error = Error::Indeterminate(Why::SequenceTaken);
    let text = "indeterminate, it may have been executed: somebody else sent in its session";
    is_due.store(true, Ordering::Relaxed);
    expect(connection.put(b"key", b"value"), &error, text, false);
    is_due.store(true, Ordering::Relaxed);
    expect(handle.put(b"key", b"value").wait(), &error, text, false);
    // It was not executed, and the client is of use in another session.
    assert_eq!(connection.get(b"key"), Ok(None));
    assert_eq!(handle.get(b"key").wait(), Ok(None));
    assert!(connection.put(b"key", b"value").is_ok());
    assert!(handle.put(b"key", b"value").wait().is_ok());
}
