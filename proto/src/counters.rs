//! Counters with names, so that nothing that happens is hidden (invariant 8).

/// Declares a struct of `u64` counters with their names. One that tells of trouble, and is
/// shown as soon as it grows, is marked: `field: trouble,`. `docs/COUNTERS.md` has a line for
/// each counter; a test compares the two.
#[macro_export]
macro_rules! counters {
    (@trouble trouble $field:ident) => { stringify!($field) };
    ($(#[$meta:meta])* $name:ident {
        $($(#[doc = $doc:literal])* $field:ident $(: $mark:ident)?,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $doc])* pub $field: u64,)+ }

        impl $name {
            /// The names of the counters and what they mean, in the order of their declaration.
            pub const HELP: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), concat!($($doc),*).trim_ascii()),)+];

            /// The names of the counters that tell of trouble, in the order of their declaration.
            pub const TROUBLE: &'static [&'static str] =
                &[$($($crate::counters!(@trouble $mark $field),)?)+];

            /// Each counter with its name, in the order of their declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }

            /// Each counter, in the order of their declaration.
            pub fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
                [$(&mut self.$field,)+].into_iter()
            }

            /// Adds another's counts to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counters! {
    /// What happened to one end as a client; counted per session, added up per process.
    ClientCounters {
        /// Datagrams sent, of all kinds.
        datagrams_sent,
        /// Bytes of them.
        bytes_sent,
        /// Datagrams received, of all kinds.
        datagrams_received,
        /// Bytes of them.
        bytes_received,
        /// Operations put into request datagrams for the first time.
        operations_sent,
        /// Operations answered.
        operations_answered,
        /// Request datagrams sent again because an answer did not come in time.
        retransmits: trouble,
        /// GETs asked again in another datagram because their answer did not come in time.
        gets_asked_again: trouble,
        /// Times that the window shrank because something was lost.
        window_reductions: trouble,
        /// Answers that came twice.
        answers_duplicate: trouble,
        /// Answers to requests that were no longer waited for.
        answers_late: trouble,
        /// Datagrams that were no valid datagram.
        malformed: trouble,
        /// Datagrams of another protocol version.
        other_version: trouble,
        /// Datagrams of another session, or from another address.
        misdirected: trouble,
        /// Times that a server refused a session.
        refusals: trouble,
        /// Mutations that were sent and never answered.
        indeterminate: trouble,
        /// GETs that were sent and never answered.
        unanswered_gets: trouble,
        /// Sessions opened.
        sessions_opened,
        /// Sessions lost: the server did not answer, forgot us, or must have meanwhile.
        sessions_lost: trouble,
    }
}

counters! {
    /// What happened to a worker.
    ServerCounters {
        /// Datagrams received, of all kinds.
        datagrams_received,
        /// Bytes of them.
        bytes_received,
        /// Datagrams sent, of all kinds.
        datagrams_sent,
        /// Bytes of them.
        bytes_sent,
        /// GETs executed.
        gets,
        /// GETs executed again because their request came again.
        gets_repeated,
        /// PUTs executed.
        puts,
        /// PUTs refused because memory is at its cap.
        puts_refused: trouble,
        /// GETs that found no record.
        gets_not_found,
        /// GETs whose value a datagram of the session cannot carry.
        gets_too_large,
        /// Requests that came again and were answered again.
        requests_duplicate: trouble,
        /// Mutations answered from the record instead of executed again.
        mutations_suppressed,
        /// Requests whose sequence another request had: refused.
        sequences_taken: trouble,
        /// Requests older than what their slot had executed: dropped.
        requests_old: trouble,
        /// Datagrams that were no valid datagram: dropped.
        malformed: trouble,
        /// Datagrams of another protocol version: refused.
        other_version: trouble,
        /// Requests of an unknown or expired session, or from another address: refused.
        unknown_session: trouble,
        /// HELLOs, and requests of unknown sessions, that were not answered because their address,
        /// or all addresses without a session, had enough answers: dropped.
        answers_limited: trouble,
        /// Requests that came again more often than a client sends them: dropped.
        repeats_limited: trouble,
        /// STATS beyond the first of their request: dropped.
        stats_dropped: trouble,
        /// Cookies too old, of another address or another life of the server: refused.
        cookies_refused: trouble,
        /// OPENs of sessions that were closed before: refused.
        opens_late: trouble,
        /// Sessions refused because the worker, or their address, has all that it may.
        sessions_refused: trouble,
        /// Sessions opened.
        sessions_opened,
        /// Sessions that their client closed.
        sessions_closed,
        /// Sessions that gave way to others, because the worker or their address had all that
        /// it may.
        sessions_displaced: trouble,
        /// Sessions that were silent for too long.
        sessions_expired: trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_and_added_field_by_field() {
        let mut sum = ServerCounters::default();
        let other = ServerCounters { gets: 2, malformed: 3, ..Default::default() };
        sum.add(&other);
        sum.add(&other);
        let named: Vec<_> = sum.named().filter(|&(_, count)| count > 0).collect();
        assert_eq!(named, [("gets", 4), ("malformed", 6)]);
    }

    #[test]
    fn what_a_counter_means_is_said_where_it_is_declared() {
        let names = ServerCounters::default().named().map(|(name, _)| name);
        assert!(names.eq(ServerCounters::HELP.iter().map(|(name, _)| *name)), "in their order");
        assert_eq!(ServerCounters::HELP[4], ("gets", "GETs executed."));
        assert!(ServerCounters::HELP.iter().all(|(_, help)| !help.is_empty()));
    }

    #[test]
    fn counters_that_tell_of_trouble_are_marked_where_they_are_declared() {
        let told = |name| ServerCounters::TROUBLE.contains(&name);
        let named = ServerCounters::default().named().map(|(name, _)| name);
        let troubles: Vec<_> = named.filter(|name| told(name)).collect();
        assert_eq!(troubles, ServerCounters::TROUBLE, "in their order");
        assert!(told("malformed") && !told("gets"));
    }
}
