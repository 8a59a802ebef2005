//! Counters with names, so that nothing that happens is hidden (invariant 8).

/// Declares a struct of `u64` counters with their names.
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)+ }

        impl $name {
            /// Each counter with its name, in the order of their declaration.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field),)+].into_iter()
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
        retransmits,
        /// GETs asked again in another datagram because their answer did not come in time.
        gets_asked_again,
        /// Times that the window shrank because something was lost.
        window_reductions,
        /// Answers that came twice.
        answers_duplicate,
        /// Answers to requests that were no longer waited for.
        answers_late,
        /// Datagrams that were no valid datagram.
        malformed,
        /// Datagrams of another protocol version.
        other_version,
        /// Datagrams of another session, or from another address.
        misdirected,
        /// Times that a server refused a session.
        refusals,
        /// Mutations that were sent and never answered.
        indeterminate,
        /// GETs that were sent and never answered.
        unanswered_gets,
        /// Sessions opened.
        sessions_opened,
        /// Sessions lost: the server did not answer, or forgot us.
        sessions_lost,
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
        puts_refused,
        /// GETs that found no record.
        gets_not_found,
        /// GETs whose value a datagram of the session cannot carry.
        gets_too_large,
        /// Requests that came again and were answered again.
        requests_duplicate,
        /// Mutations answered from the record instead of executed again.
        mutations_suppressed,
        /// Requests older than what their slot had executed: dropped.
        requests_old,
        /// Datagrams that were no valid datagram: dropped.
        malformed,
        /// Datagrams of another protocol version: refused.
        other_version,
        /// Requests of an unknown or expired session, or from another address: refused.
        unknown_session,
        /// Cookies too old, of another address or another life of the server: refused.
        cookies_refused,
        /// Sessions refused because the worker holds all that it can.
        sessions_refused,
        /// Sessions opened.
        sessions_opened,
        /// Sessions that their client closed.
        sessions_closed,
        /// Sessions that were silent for too long.
        sessions_expired,
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
}
