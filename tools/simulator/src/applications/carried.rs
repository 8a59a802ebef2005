//! Which session carried each PUT of an application.

use std::collections::BTreeMap;

use generator::record::ValueFormat;
use history::operation::ValueId;
use proto::unpack::{self, RequestSpan};
use proto::wire::{Kind, Op};

/// The sessions of all PUTs that left an application's machine.
#[derive(Debug, Default)]
pub struct Carried {
    sessions: BTreeMap<ValueId, u64>,
    spans: Vec<RequestSpan>,
}

impl Carried {
    /// A datagram leaves an application's machine; an error if it carries a PUT that another
    /// session carried before.
    pub fn note(&mut self, datagram: &[u8], values: &ValueFormat) -> Result<(), String> {
        let Self { sessions, spans } = self;
        let Ok((Kind::Request, header)) = unpack::header(datagram) else { return Ok(()) };
        if unpack::requests(datagram, header.entries, spans).is_err() {
            return Err("an application sent a request that cannot be read".to_owned());
        }
        for span in spans.iter().filter(|span| span.op == Op::Put) {
            let Some(id) = values.identity(span.value(datagram)) else {
                return Err("an application sent a PUT of bytes that it did not put".to_owned());
            };
            let session = *sessions.entry(id).or_insert(header.session);
            if session != header.session {
                return Err(format!(
                    "PUT {:x}/{} was sent under session {session:016x} and again under {:016x}",
                    id.writer, id.counter, header.session
                ));
            }
        }
        Ok(())
    }

    /// Whether a PUT was sent.
    #[must_use]
    pub fn has(&self, value: ValueId) -> bool {
        self.sessions.contains_key(&value)
    }
}
