//! Histories of one key: written briefly, and shown to people.

use std::fmt::Write as _;

use history::operation::{Action, Operation, ValueId};

/// One operation on the only key.
pub(crate) fn operation(client: u32, start_ns: u64, end_ns: u64, action: Action) -> Operation {
    Operation {
        client,
        server: 0,
        incarnation: 1,
        key: 0,
        action,
        is_cached: false,
        version: 0,
        start_ns,
        end_ns,
    }
}

/// The value of a hand-written history's PUT.
pub(crate) fn value(counter: u64) -> ValueId {
    ValueId { writer: 1, counter }
}

/// An operation a line, by start.
pub(crate) fn show(operations: &[Operation]) -> String {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| (operation.start_ns, operation.end_ns));
    let mut text = String::new();
    for Operation { client, action, is_cached, start_ns, end_ns, .. } in sorted {
        let did = match action {
            Action::Found(value) => format!("GET found {}", name(value)),
            Action::NotFound => "GET found nothing".to_string(),
            Action::Stored(value) => format!("PUT stored {}", name(value)),
            Action::Indeterminate(value) => format!("PUT without answer {}", name(value)),
        };
        let cached = if is_cached { " in its cache" } else { "" };
        writeln!(text, "  client {client}  {start_ns:>3} to {end_ns:>3}  {did}{cached}")
            .expect("a string takes all");
    }
    text
}

fn name(value: ValueId) -> String {
    match value.writer {
        ValueId::FOREIGN => format!("foreign:{}", value.counter),
        writer => format!("{writer}:{}", value.counter),
    }
}
