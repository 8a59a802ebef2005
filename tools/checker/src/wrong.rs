//! What can be wrong with a register's operations.

/// Why no order of a register's operations exists, or which answer cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A value was found that nobody wrote, or one that had been overwritten for long.
    NotWritten,
    /// A value was found before its PUT was called.
    Future,
    /// Nothing was found after something had been there.
    Absent,
    /// Two values come before each other.
    TwoOrders,
    /// Two PUTs wrote one value: this check cannot tell them apart.
    WrittenTwice,
    /// Two answers gave one value different versions, or one version to two values.
    VersionOfValue,
    /// Versions are in another order than time.
    VersionOrder,
    /// A key has had more versions than PUTs.
    VersionCount,
}
