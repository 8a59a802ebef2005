//! What is before the key and the value of a record ([`super::record`] draws it). The memory of
//! the table knows no more of a record than this: where it is, and the class of its cell.

use std::ptr::NonNull;

use super::size_class::Class;
use super::sync::WriteOnce;

/// Before the key and the value of a record.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    pub(super) version: WriteOnce<u64>,
    pub(super) value_bytes: u32,
    pub(super) key_bytes: u16,
    pub(super) class: u16,
}

pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// The class of a record's cell.
///
/// # Safety
/// It is initialized, and nobody changes it.
#[inline]
pub(super) unsafe fn class_of_record(header: NonNull<Header>) -> Class {
    // SAFETY: by the caller's promise.
    usize::from(unsafe { header.as_ref() }.class)
}
