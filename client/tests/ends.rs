//! What becomes of calls, threads and sessions when whoever made them ends.
#![forbid(unsafe_code)]
