//! What must hold of the applications when a world is at its end.

use std::collections::BTreeMap;

use history::operation::{Action, Operation};

use crate::applications::ledger::{Ledger, Told};
use crate::failure::Failure;
use crate::world::World;

/// Checks what each application was told against what happened.
pub fn check(world: &World) -> Result<(), Failure> {
    for ledger in &world.applications {
        check_told(world, ledger)?;
        check_lives(world, ledger)?;
    }
    Ok(())
}

/// What each application's sessions did.
pub fn histories(world: &World) -> impl Iterator<Item = Vec<Operation>> {
    world
        .applications
        .iter()
        .map(|ledger| ledger.answered.iter().copied().chain(indeterminate(world, ledger)).collect())
}

/// A call that was told as not executed was not sent, and one that was refused wrote nothing.
fn check_told(world: &World, ledger: &Ledger) -> Result<(), Failure> {
    for call in &ledger.calls {
        let (ended_ns, told) = call.ended.expect("an application waits for its calls");
        let Some(value) = call.value else { continue };
        let is_written = world.written.life_of(value).is_some();
        let is_carried = world.carried.has(value);
        let is_false = match told {
            Told::NotExecuted => is_written || is_carried,
            Told::Refused => is_written,
            Told::Answered => !is_written,
            Told::Indeterminate | Told::Unanswered => false,
        };
        if is_false {
            let text = format!(
                "application {}, key {}: PUT {:x}/{} was told as {told:?} at {ended_ns}; sent: \
                 {is_carried}, written: {is_written}",
                ledger.number, call.key, value.writer, value.counter
            );
            return Err(Failure { check: "false certainty", key: Some(call.key), text });
        }
    }
    Ok(())
}

/// A near cache answers nothing of a life after an answer of a later one.
fn check_lives(world: &World, ledger: &Ledger) -> Result<(), Failure> {
    let mut first_ns: BTreeMap<(u16, u64), u64> = BTreeMap::new();
    for operation in &ledger.answered {
        let life = (operation.server, world.life_number(operation.incarnation));
        let first = first_ns.entry(life).or_insert(u64::MAX);
        *first = operation.end_ns.min(*first);
    }
    for cached in &ledger.cached {
        let (server, number) = (cached.server, world.life_number(cached.incarnation));
        let mut later = first_ns.range((server, number + 1)..=(server, u64::MAX));
        if let Some((_, since_ns)) = later.find(|&(_, &since_ns)| since_ns < cached.end_ns) {
            let text = format!(
                "application {}, key {}: the near cache answered from life {:016x} of server \
                 {server} at {}, and a later life had answered at {since_ns}",
                ledger.number, cached.key, cached.incarnation, cached.end_ns
            );
            return Err(Failure { check: "new life", key: Some(cached.key), text });
        }
    }
    Ok(())
}

/// The PUTs of which nobody told the application that they were executed, and that were.
fn indeterminate<'a>(
    world: &'a World,
    ledger: &'a Ledger,
) -> impl Iterator<Item = Operation> + use<'a> {
    ledger.calls.iter().filter_map(|call| {
        let (end_ns, Told::Indeterminate) = call.ended? else { return None };
        let value = call.value?;
        Some(Operation {
            client: ledger.number,
            server: call.server,
            incarnation: world.written.life_of(value)?.incarnation,
            is_cached: false,
            key: call.key,
            action: Action::Indeterminate(value),
            version: 0,
            start_ns: call.begun_ns + 1,
            end_ns,
        })
    })
}
