//! Growth curves.
