//! What happened to calls.

proto::counters! {
    /// What happened to calls, beside what their sessions count.
    ///
    /// ```
    /// use client::calls::CallCounters;
    ///
    /// let names: Vec<_> = CallCounters::default().named().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["taken", "not_sent", "withdrawn", "late", "asked_again"]);
    /// ```
    #[non_exhaustive]
    CallCounters {
        /// Calls that were taken.
        taken,
        /// Calls that were not, because too many waited already.
        not_sent: trouble,
        /// Calls that were withdrawn at their deadline, before they were sent.
        withdrawn: trouble,
        /// Calls that were sent and not answered at their deadline.
        late: trouble,
        /// Reads that were asked again in another session.
        asked_again: trouble,
    }
}
