//! A record of the bucket table: version, key and value in one allocation that is never
//! changed once others can see it.
//!
//! ```text
//!  byte 0                  8           12        14        16
//!      +-------------------+-----------+---------+---------+-- key_bytes --+-- value_bytes --+
//!      |      version      |value_bytes|key_bytes| padding |     key       |      value      |
//!      +-------------------+-----------+---------+---------+---------------+-----------------+
//! ```

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::free_list;
use super::memory::Memory;
use super::sync::WriteOnce;

/// Before the key and the value of a record.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    version: WriteOnce<u64>,
    value_bytes: u32,
    key_bytes: u16,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// A record that nobody else can see yet. Dropped unless it is published.
#[derive(Debug)]
pub(super) struct NewRecord(NonNull<Header>);

impl NewRecord {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        let key_bytes = u16::try_from(key.len()).expect("keys are at most 512 bytes");
        let value_bytes = u32::try_from(value.len()).expect("values are at most 1 MiB");
        let header = free_list::allocate(size(key.len(), value.len())).cast::<Header>();
        // SAFETY: the allocation is ours, aligned for a header, and long enough for it and
        // for the bytes that follow it; the sources cannot overlap fresh memory.
        unsafe {
            header.write(Header { version: WriteOnce::new(0), value_bytes, key_bytes });
            let bytes = header.cast::<u8>().add(HEADER_BYTES);
            bytes.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            bytes.add(key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        Self(header)
    }

    /// Sets the version that it will be published with.
    pub(super) fn set_version(&mut self, version: u64) {
        // SAFETY: it is initialized, and nobody else can see it.
        unsafe { self.0.as_mut().version = WriteOnce::new(version) };
    }

    /// What it counts, as [`Memory`] does.
    pub(super) fn bytes(&self) -> u64 {
        self.as_ref().bytes()
    }

    /// Its key.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.as_ref().key()
    }

    #[inline]
    fn as_ref(&self) -> RecordRef<'_> {
        // SAFETY: it is initialized, and lives as long as `self`, unchanged while borrowed.
        unsafe { RecordRef::new(self.0) }
    }

    /// Where it is.
    #[inline]
    pub(super) fn address(&self) -> NonNull<Header> {
        self.0
    }

    /// It was published: from now on it is freed by [`free`].
    pub(super) fn publish(self) {
        std::mem::forget(self);
    }
}

impl Drop for NewRecord {
    fn drop(&mut self) {
        // SAFETY: it was not published, so nobody else can see it.
        unsafe { free(self.0) };
    }
}

/// A published record.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordRef<'a>(NonNull<Header>, PhantomData<&'a Header>);

impl<'a> RecordRef<'a> {
    /// # Safety
    /// `header` is of a published record that is not freed during `'a`.
    #[inline]
    pub(super) unsafe fn new(header: NonNull<Header>) -> Self {
        Self(header, PhantomData)
    }

    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: by the promise of `new` it lives during `'a`; published records are
        // initialized and never written again.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(super) fn version(self) -> u64 {
        self.header().version.get()
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        self.slice(0, usize::from(self.header().key_bytes))
    }

    /// Whether it is this key's.
    #[inline]
    pub(super) fn is_of(self, key: &[u8]) -> bool {
        // Most keys are numbers: without a call to compare them.
        match (<[u8; 8]>::try_from(self.key()), <[u8; 8]>::try_from(key)) {
            (Ok(own), Ok(other)) => own == other,
            _ => self.key() == key,
        }
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        self.slice(usize::from(self.header().key_bytes), self.header().value_bytes as usize)
    }

    /// What it counts, as [`Memory`] does.
    #[inline]
    pub(super) fn bytes(self) -> u64 {
        let Header { key_bytes, value_bytes, .. } = self.header();
        Memory::record_bytes(usize::from(*key_bytes), *value_bytes as usize)
    }

    #[inline]
    fn slice(self, from: usize, length: usize) -> &'a [u8] {
        // SAFETY: the allocation holds `key_bytes + value_bytes` bytes behind the header,
        // callers stay within them, and they live and stay unchanged as long as it does.
        // The pointer is the allocation's own, which spans all of it.
        unsafe {
            let bytes = self.0.cast::<u8>().add(HEADER_BYTES + from);
            std::slice::from_raw_parts(bytes.as_ptr(), length)
        }
    }
}

/// Frees a record.
///
/// # Safety
/// The record came from [`NewRecord`], is freed once, and nobody can see it any more.
pub(super) unsafe fn free(header: NonNull<Header>) {
    // SAFETY: it is still initialized.
    let Header { key_bytes, value_bytes, .. } = unsafe { header.as_ref() };
    let size = size(usize::from(*key_bytes), *value_bytes as usize);
    // SAFETY: it was taken with this very size.
    unsafe { free_list::free(header.cast(), size) };
}

fn size(key_bytes: usize, value_bytes: usize) -> usize {
    HEADER_BYTES + key_bytes + value_bytes
}
