//! What a table tells of itself.

proto::counters! {
    /// The gauges of a table. Unlike other counters they also fall.
    TableGauges {
        /// Records held.
        records,
        /// Bytes that the cap on memory counts for them.
        record_bytes,
        /// Bytes of the pages that hold records, with their free cells; 0 of a table without pages.
        page_bytes,
        /// Bytes of pages that held records and are free now.
        free_page_bytes,
        /// Bytes of records that were replaced and wait until no thread reads them.
        garbage_bytes,
        /// Bytes of the index, with what it overflows into; 0 of a table that does not tell.
        index_bytes,
        /// Records that evacuation moved, since the start; 0 of a table without pages.
        records_moved,
        /// Buckets of the index; 0 of a table that has none of its own.
        buckets,
    }
}
