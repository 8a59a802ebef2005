//! Cores and threads.

use core_affinity::CoreId;

/// The cores that this process may use, by number; one unnamed core if nobody tells.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    if ids.is_empty() { vec![0] } else { ids.into_iter().map(|core| core.id).collect() }
}

/// Binds the calling thread to a core. Returns whether the kernel agreed.
#[must_use]
pub fn pin_to(core: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: core })
}
