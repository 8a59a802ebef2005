//! What happens beneath the protocol.

proto::counters! {
    /// What happened to a transport beneath the protocol.
    TransportCounters {
        /// Messages received: up to 64 datagrams each.
        messages_received,
        /// Messages cut because they were longer than their buffer.
        messages_truncated: trouble,
        /// Datagrams that came and were dropped on purpose.
        datagrams_dropped: trouble,
        /// Calls that sent a burst.
        bursts_sent,
        /// Bursts that GSO could not send, and that went out datagram by datagram.
        gso_fallbacks: trouble,
        /// Times that a send buffer was full.
        send_blocked: trouble,
        /// Bursts that waited in the queue of their address for room in the send buffer.
        bursts_queued: trouble,
        /// Datagrams dropped because that queue was full, or because they had waited too long.
        datagrams_unsent: trouble,
        /// Answers to addresses without a session that were dropped: their share of the send
        /// buffer was full.
        strangers_unsent: trouble,
        /// Datagrams that the kernel refused to send.
        send_errors: trouble,
    }
}
