//! Where the bytes of stores lie: in memory as far as a limit allows, beyond it in scratch files that are mapped into memory.
//!
//! A mapped part is used like any other; the system keeps its pages in its cache while there is room, and on disk otherwise. What
//! goes beyond the limit is therefore slower only when the machine has no memory for it. Scratch files have no name and are gone
//! with the process; their space is reserved when they are made, so that a full disk is an error then and not a crash later.
//! Not here: what lies where (`arena`, `rows`).

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};
use memmap2::{MmapMut, MmapOptions};
use millstream_formats::faults;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A table smaller than this stays in memory whatever the limit.
const TABLE_BYTES_MAPPED_MIN: usize = 64 * 1024;

/// The memory that the stores of one query share. Cheap to clone; clones are the same memory.
#[derive(Debug, Clone)]
pub struct StateMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    /// Where scratch files are made.
    scratch: PathBuf,
    used_bytes: AtomicUsize,
    spilled_bytes: AtomicUsize,
}

impl Default for StateMemory {
    /// Without a limit.
    fn default() -> Self {
        Self::limited(usize::MAX, Path::new(""))
    }
}

impl StateMemory {
    /// Memory of at most `limit_bytes`, and scratch files in the directory `scratch` for the rest. Not counted are the changes of
    /// the batch that runs, and what finds entries by time or prefix: 4 and about 11 bytes for each.
    pub fn limited(limit_bytes: usize, scratch: &Path) -> Self {
        let (used_bytes, spilled_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Shared { limit_bytes, scratch: scratch.to_path_buf(), used_bytes, spilled_bytes }))
    }

    /// Bytes in memory.
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes in scratch files.
    pub fn spilled_bytes(&self) -> usize {
        self.0.spilled_bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes of memory if the limit allows.
    fn try_take(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.0.limit_bytes);
        self.0.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    fn take(&self, bytes: usize) {
        self.0.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// So many zeros in a scratch file of its own.
    fn map(&self, bytes: usize) -> io::Result<Mapped> {
        let file = scratch_file(&self.0.scratch)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes as u64) {
            Err(Errno::OPNOTSUPP) => {
                io::copy(&mut io::Read::take(io::repeat(0), bytes as u64), &mut &file).map(drop)?
            }
            reserved => reserved?,
        }
        // SAFETY: the file has no name, so no one else can change or shorten it while it is mapped.
        let map = unsafe { MmapOptions::new().len(bytes).map_mut(&file)? };
        self.0.spilled_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(Mapped { map, memory: self.clone() })
    }
}

/// A new file without a name.
fn scratch_file(dir: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".scratch-{}-{number}.tmp", std::process::id()));
    let failed =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot make the scratch file {}: {e}", path.display()));
    faults::step("scratch", "create", &path).map_err(failed)?;
    fs::create_dir_all(dir).map_err(failed)?;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(failed)?;
    fs::remove_file(&path).map_err(failed)?;
    Ok(file)
}

#[derive(Debug)]
struct Mapped {
    map: MmapMut,
    memory: StateMemory,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.memory.0.spilled_bytes.fetch_sub(self.map.len(), Ordering::Relaxed);
    }
}

/// Bytes that are appended to and changed in place, up to a capacity.
#[derive(Debug)]
pub(crate) struct Region(Place);

#[derive(Debug)]
enum Place {
    Memory { bytes: Vec<u8>, memory: StateMemory },
    Scratch { mapped: Mapped, length: usize },
}

impl Region {
    /// A region for `capacity` bytes, or beyond the limit for `capacity_max`, since scratch space does not grow.
    pub(crate) fn new(memory: &StateMemory, capacity: usize, capacity_max: usize) -> io::Result<Self> {
        if memory.try_take(capacity) {
            return Ok(Self(Place::Memory { bytes: Vec::with_capacity(capacity), memory: memory.clone() }));
        }
        Ok(Self(Place::Scratch { mapped: memory.map(capacity_max.max(capacity))?, length: 0 }))
    }

    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Place::Memory { bytes, .. } => bytes.len(),
            Place::Scratch { length, .. } => *length,
        }
    }

    /// Bytes of memory and of scratch space that it takes.
    pub(crate) fn held(&self) -> (usize, usize) {
        match &self.0 {
            Place::Memory { bytes, .. } => (bytes.capacity(), 0),
            Place::Scratch { mapped, .. } => (0, mapped.map.len()),
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Memory { bytes, .. } => bytes,
            Place::Scratch { mapped, length } => &mapped.map[..*length],
        }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Place::Memory { bytes, .. } => bytes,
            Place::Scratch { mapped, length } => &mut mapped.map[..*length],
        }
    }

    /// Makes room for `more` bytes, by doubling up to `capacity_max`, which is large enough. Beyond the limit the region moves
    /// into scratch space of that size.
    pub(crate) fn reserve(&mut self, more: usize, capacity_max: usize) -> io::Result<()> {
        let Place::Memory { bytes, memory } = &mut self.0 else { return Ok(()) };
        let (needed, held) = (bytes.len() + more, bytes.capacity());
        if needed <= held {
            return Ok(());
        }
        let capacity = needed.max(2 * held).min(capacity_max.max(needed));
        if memory.try_take(capacity - held) {
            bytes.reserve_exact(capacity - bytes.len());
            return Ok(());
        }
        let (mut mapped, length) = (memory.map(capacity_max.max(needed))?, bytes.len());
        mapped.map[..length].copy_from_slice(bytes);
        memory.give_back(held);
        // Its memory is given back already; nothing is left for the drop to count.
        *bytes = Vec::new();
        self.0 = Place::Scratch { mapped, length };
        Ok(())
    }

    /// Appends `more` zeros, for which there must be room, and gives them.
    #[inline]
    pub(crate) fn append(&mut self, more: usize) -> &mut [u8] {
        match &mut self.0 {
            Place::Memory { bytes, .. } => {
                let start = bytes.len();
                bytes.resize(start + more, 0);
                &mut bytes[start..]
            }
            Place::Scratch { mapped, length } => {
                let start = *length;
                *length += more;
                &mut mapped.map[start..start + more]
            }
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Place::Memory { bytes, memory } = &self.0 {
            memory.give_back(bytes.capacity());
        }
    }
}

/// Gives the hash table its memory, from where the limit allows.
#[derive(Clone)]
pub(crate) struct TableAllocator {
    memory: StateMemory,
    /// The tables in scratch space: one, two while it grows.
    mapped: Arc<Mutex<Vec<Mapped>>>,
}

impl fmt::Debug for TableAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableAllocator").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl TableAllocator {
    pub(crate) fn new(memory: StateMemory) -> Self {
        Self { memory, mapped: Arc::default() }
    }

    /// Bytes of scratch space.
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|mapped| mapped.map.len()).sum()
    }

    fn map(&self, bytes: usize) -> Option<NonNull<[u8]>> {
        // Without scratch space the table goes beyond the limit: it cannot report an error, and the next row will.
        let mut mapped = self.memory.map(bytes).ok()?;
        let place = NonNull::from(&mut mapped.map[..]);
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner).push(mapped);
        Some(place)
    }

    fn unmap(&self, place: NonNull<u8>) -> bool {
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let found = mapped.iter().position(|mapped| std::ptr::eq(mapped.map.as_ptr(), place.as_ptr()));
        found.map(|index| mapped.swap_remove(index)).is_some()
    }
}

// SAFETY: a block is either from `Global`, or a mapping that is kept in `mapped`, where clones share it, until the block is given
// back. Mappings begin at a page, which suits every alignment that a table asks for.
unsafe impl Allocator for TableAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() < TABLE_BYTES_MAPPED_MIN {
            self.memory.take(layout.size());
        } else if !self.memory.try_take(layout.size()) {
            if let Some(place) = self.map(layout.size()) {
                return Ok(place);
            }
            self.memory.take(layout.size());
        }
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, place: NonNull<u8>, layout: Layout) {
        if layout.size() >= TABLE_BYTES_MAPPED_MIN && self.unmap(place) {
            return;
        }
        self.memory.give_back(layout.size());
        // SAFETY: what is not mapped was allocated by `Global`, with this layout.
        unsafe { Global.deallocate(place, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_moves_into_scratch_space_when_the_limit_is_reached_and_gives_everything_back() {
        let dir = tempfile::tempdir().unwrap();
        let memory = StateMemory::limited(4096, dir.path());
        let mut region = Region::new(&memory, 1024, 1024).unwrap();
        for byte in 0..100u8 {
            region.reserve(100, 16 * 1024).unwrap();
            region.append(100).fill(byte);
        }
        assert_eq!((memory.used_bytes(), memory.spilled_bytes()), (0, 16 * 1024));
        assert!(region.bytes().chunks(100).zip(0..).all(|(chunk, byte)| chunk.iter().all(|b| *b == byte)));
        assert_eq!((region.len(), fs::read_dir(dir.path()).unwrap().count()), (10_000, 0));
        drop(region);
        assert_eq!((memory.used_bytes(), memory.spilled_bytes()), (0, 0));
    }

    #[test]
    fn scratch_space_that_cannot_be_had_is_an_error_that_names_the_file() {
        let memory = StateMemory::limited(0, Path::new("/proc/none"));
        let error = Region::new(&memory, 1024, 1024).unwrap_err();
        assert!(error.to_string().contains("the scratch file /proc/none/.scratch-"), "{error}");
    }
}
