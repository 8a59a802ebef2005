//! A record of the bucket table: version, key and value in one allocation that is never
//! changed once others can see it.
//!
//! ```text
//!  byte 0                  8           12        14        16
//!      +-------------------+-----------+---------+---------+-- key_bytes --+-- value_bytes --+
//!      |      version      |value_bytes|key_bytes|  class  |     key       |      value      |
//!      +-------------------+-----------+---------+---------+---------------+-----------------+
//! ```
//!
//! The class is that of its cell, which may be larger than it needs ([`super::pages`]).

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::header::{HEADER_BYTES, Header};
use super::memory::Memory;
use super::shard::Mine;
use super::size_class::{CLASSES, Class, class_of};
use super::sync::WriteOnce;

/// A record that nobody else can see yet. It is published or discarded.
#[derive(Debug)]
pub(super) struct NewRecord(NonNull<Header>);

impl NewRecord {
    /// A record in memory of this shard, if there is some.
    #[inline]
    pub(super) fn new(key: &[u8], value: &[u8], mine: &mut Mine<'_>) -> Option<Self> {
        let key_bytes = u16::try_from(key.len()).expect("keys are at most 512 bytes");
        let value_bytes = u32::try_from(value.len()).expect("values are at most 1 MiB");
        let class = class_of(HEADER_BYTES + key.len() + value.len())?;
        let header = mine.allocate(class)?.cast::<Header>();
        let class = class as u16;
        // SAFETY: the cell is ours, aligned for a header, and long enough for it and
        // for the bytes that follow it; the sources cannot overlap fresh memory.
        unsafe {
            header.write(Header { version: WriteOnce::new(0), value_bytes, key_bytes, class });
            let bytes = header.cast::<u8>().add(HEADER_BYTES);
            bytes.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            bytes.add(key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        Some(Self(header))
    }

    /// The same record in other memory, if there is some.
    pub(super) fn copy_of(record: RecordRef<'_>, mine: &mut Mine<'_>) -> Option<Self> {
        let bytes = record.key().len() + record.value().len();
        let (cell, class) = mine.allocate_for_move(class_of(HEADER_BYTES + bytes)?)?;
        let (header, class) = (cell.cast::<Header>(), class as u16);
        let Header { value_bytes, key_bytes, .. } = *record.header();
        // SAFETY: as above; the bytes behind the header are the key and the value together.
        unsafe {
            let version = WriteOnce::new(record.version());
            header.write(Header { version, value_bytes, key_bytes, class });
            let source = record.0.cast::<u8>().add(HEADER_BYTES);
            header.cast::<u8>().add(HEADER_BYTES).copy_from_nonoverlapping(source, bytes);
        }
        Some(Self(header))
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

    /// Gives its memory back.
    pub(super) fn discard(self, mine: &mut Mine<'_>) {
        let class = self.as_ref().class();
        mine.free(self.0.cast(), class);
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
        let header = unsafe { self.0.as_ref() };
        debug_assert!(usize::from(header.class) < CLASSES, "it is poisoned: it was freed");
        header
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

    /// Of its cell.
    #[inline]
    pub(super) fn class(self) -> Class {
        usize::from(self.header().class)
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
