//! What is counted: fixed work without sockets, clocks and randomness.

mod generating;
mod protocol;
mod table;

/// Asks for the machine in the place of a workload.
pub(crate) const MACHINE: &str = "machine";

const WORKLOADS: [(&str, fn()); 9] = [
    ("unpack a request of 90 GETs, 100 times", protocol::unpack_request),
    ("unpack a reply of ten values, 100 times", protocol::unpack_reply),
    ("session round trip of 90 GETs, 10 times", protocol::round_trip_of_gets),
    ("session round trip of a PUT, 100 times", protocol::round_trip_of_a_put),
    ("bucket table: get 64 keys, 64 times", table::get_groups),
    ("bucket table: overwrite, 4096 times", table::overwrite),
    ("draw 4096 operations", generating::draw),
    ("place a key, 4096 times", generating::place),
    ("record an answer, 4096 times", generating::record_answers),
];

/// In the order in which they are shown.
pub(crate) fn names() -> [&'static str; WORKLOADS.len()] {
    WORKLOADS.map(|(name, _)| name)
}

pub(crate) fn run(name: &str) {
    match WORKLOADS.iter().find(|(known, _)| *known == name) {
        Some((_, workload)) => workload(),
        None => println!("{}", machine()),
    }
}

/// Does the work `times` over once uncounted, so that what is made at the first use is there,
/// and then counted.
fn count(times: usize, mut work: impl FnMut(usize)) {
    let mut all = || (0..times).for_each(&mut work);
    all();
    counted_part(&mut all);
}

/// Callgrind counts what happens in here; it knows it by its name.
#[inline(never)]
fn counted_part(work: &mut dyn FnMut()) {
    work();
}

/// Code that chooses its instructions when it runs, chooses by these.
#[cfg(target_arch = "x86_64")]
fn machine() -> String {
    let features = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("vpclmulqdq", is_x86_feature_detected!("vpclmulqdq")),
    ];
    let has = features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name);
    std::iter::once("x86_64").chain(has).collect::<Vec<_>>().join(" ")
}

#[cfg(not(target_arch = "x86_64"))]
fn machine() -> String {
    std::env::consts::ARCH.to_owned()
}
