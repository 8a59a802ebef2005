//! What caches whose answers may be old change in a history, straight from the definition.

use history::operation::{Action, Operation};

/// Where the GETs are.
pub(crate) fn places_of_gets(operations: &[Operation]) -> Vec<usize> {
    let is_get =
        |place: &usize| matches!(operations[*place].action, Action::Found(_) | Action::NotFound);
    (0..operations.len()).filter(is_get).collect()
}

/// The same operations, with the intervals in which they may have taken effect: that of a GET
/// from a cache begins before its call, but after each PUT of its client that was answered by
/// then.
pub(crate) fn widened(operations: &[Operation], staleness_ns: u64) -> Vec<Operation> {
    let widen = |&operation: &Operation| {
        if !operation.is_cached {
            return operation;
        }
        let own = operations.iter().filter(|put| {
            put.client == operation.client
                && matches!(put.action, Action::Stored(_))
                && put.end_ns < operation.start_ns
        });
        let after_own_ns = own.map(|put| put.end_ns + 1).max().unwrap_or(0);
        let start_ns = operation.start_ns.saturating_sub(staleness_ns).max(after_own_ns);
        Operation { start_ns, ..operation }
    };
    operations.iter().map(widen).collect()
}

/// The checker that is tested. Each client has a cache.
pub(crate) fn lincheck(operations: &[Operation], staleness_ns: u64) -> Option<String> {
    let clients = operations.iter().map(|operation| operation.client + 1).max().unwrap_or(0);
    let of_client = |client| {
        operations.iter().filter(|operation| operation.client == client).copied().collect()
    };
    let histories: Vec<Vec<Operation>> = (0..clients).map(of_client).collect();
    checker::verify_stale(&histories, staleness_ns).err().map(|violation| violation.text)
}
