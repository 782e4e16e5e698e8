use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Bytes whose number is known beforehand. Many of them are the system's again as soon as they are
/// dropped: what an allocator keeps of them for later, on each thread, would come on top of all that is
/// counted.
#[derive(Default)]
pub(crate) struct Space {
    room: Room,
    length: usize,
}

/// Where they stand: zeros at first.
enum Room {
    Heap(Vec<u8>),
    /// Pages of their own, which take memory once they are written.
    Pages(MmapMut),
}

impl Default for Room {
    fn default() -> Room {
        Room::Heap(Vec::new())
    }
}

impl Space {
    /// Returns no bytes yet, with room for so many.
    pub(crate) fn for_bytes(room: usize) -> Space {
        let pages = (room >= LEAST_PAGES).then(|| MmapMut::map_anon(room));
        let room = match pages {
            Some(Ok(pages)) => Room::Pages(pages),
            // Where the system gives none, the allocator may still have some.
            Some(Err(_)) | None => Room::Heap(vec![0; room]),
        };
        Space { room, length: 0 }
    }

    /// Returns so many zeros.
    pub(crate) fn zeros(length: usize) -> Space {
        Space {
            length,
            ..Space::for_bytes(length)
        }
    }

    /// Returns so many zeros, which all are going to be read and written: each page is taken now, and not
    /// once for a first read and again for a first write.
    pub(crate) fn written(length: usize) -> Space {
        let mut space = Space::zeros(length);
        if let Room::Pages(pages) = &mut space.room {
            pages.fill(0);
        }
        space
    }

    /// Returns how many more bytes there is room for.
    pub(crate) fn free(&self) -> usize {
        self.room.bytes().len() - self.length
    }

    /// Gives up the room that is left.
    pub(crate) fn fit(&mut self) {
        // Of pages, those that were never written take no memory.
        if let Room::Heap(bytes) = &mut self.room {
            bytes.truncate(self.length);
            bytes.shrink_to_fit();
        }
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, more: &[u8]) {
        let end = self.length.saturating_add(more.len());
        if more.len() > self.free() {
            // Only what claims less than it has comes here.
            let mut larger = Space::for_bytes(end.saturating_mul(2));
            larger.append(self);
            *self = larger;
        }
        if let Some(free) = self.room.bytes_mut().get_mut(self.length..end) {
            free.copy_from_slice(more);
            self.length = end;
        }
    }
}

impl Clone for Space {
    fn clone(&self) -> Space {
        let mut clone = Space::for_bytes(self.room.bytes().len());
        clone.append(self);
        clone
    }
}

impl Room {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Room::Heap(bytes) => bytes,
            Room::Pages(pages) => pages,
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Room::Heap(bytes) => bytes,
            Room::Pages(pages) => pages,
        }
    }
}

impl Deref for Space {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.room.bytes().get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Space {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.room
            .bytes_mut()
            .get_mut(..self.length)
            .unwrap_or_default()
    }
}

/// Fewer are not worth asking the system for.
const LEAST_PAGES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_bytes_are_kept_and_more_than_there_was_room_for() {
        for length in [0, 1, LEAST_PAGES - 1, LEAST_PAGES, 3 * LEAST_PAGES] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            for room in [length, length / 3] {
                let mut space = Space::for_bytes(room);
                for piece in bytes.chunks(70_001) {
                    space.append(piece);
                }
                space.fit();
                assert!(*space == *bytes, "{length} bytes in room for {room}");
            }
            let mut zeros = Space::zeros(length);
            assert!(zeros.len() == length && zeros.iter().all(|byte| *byte == 0));
            if let Some(last) = zeros.last_mut() {
                *last = 7;
                assert_eq!(zeros.last(), Some(&7));
            }
        }
    }
}
