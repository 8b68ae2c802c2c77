//! What waits for a client that reads slowly: whole frames, and the end of one that was begun.

use std::{collections::VecDeque, io::IoSlice};

use arrayvec::ArrayVec;

/// Frames that are written in one call at most.
const MAX_WRITTEN: usize = 64;

/// What a frame takes besides its bytes, about: without it, frames of nothing but a header would wait by the ten thousand.
const OVERHEAD: usize = 64;

/// Frames in the order in which they go out. The oldest are dropped for new ones: in a call what is late is worth least.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    frames: VecDeque<Vec<u8>>,
    /// How much of the first is written.
    begun: usize,
    /// Bytes that are not.
    len: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes in a frame, of which so much is written already, and drops others until they take no more than `most` bytes, but
    /// for a frame that was begun. Returns how many were dropped.
    pub(super) fn push(&mut self, parts: &[IoSlice<'_>], written: usize, most: usize) -> usize {
        let mut frame = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        if self.frames.is_empty() {
            self.begun = written;
        }
        self.len += frame.len() - written;
        self.frames.push_back(frame);
        let mut dropped = 0;
        while self.memory() > most {
            // Only the first can have been begun.
            let Some(oldest) = self.frames.remove(usize::from(self.begun > 0)) else { break };
            self.len -= oldest.len();
            dropped += 1;
        }
        dropped
    }

    /// How much memory it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.len + OVERHEAD * self.frames.len()
    }

    /// What is to be written next.
    pub(super) fn slices(&self) -> ArrayVec<IoSlice<'_>, MAX_WRITTEN> {
        let mut skip = self.begun;
        let rest = |frame| {
            let frame: &Vec<u8> = frame;
            IoSlice::new(&frame[std::mem::take(&mut skip)..])
        };
        self.frames.iter().take(MAX_WRITTEN).map(rest).collect()
    }

    /// So much of it was written.
    pub(super) fn advance(&mut self, written: usize) {
        self.len -= written;
        self.begun += written;
        while let Some(first) = self.frames.front().map(Vec::len).filter(|&first| first <= self.begun) {
            self.frames.pop_front();
            self.begun -= first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(backlog: &mut Backlog, frame: &[u8], written: usize) -> usize {
        backlog.push(&[IoSlice::new(&frame[..1]), IoSlice::new(&frame[1..])], written, 10 + 2 * OVERHEAD)
    }

    fn waits(backlog: &Backlog) -> Vec<u8> {
        backlog.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn frames_go_out_in_order_and_the_rest_of_the_first_before_them() {
        let mut backlog = Backlog::default();

        assert_eq!(push(&mut backlog, b"abc", 2) + push(&mut backlog, b"def", 0), 0);

        assert_eq!(waits(&backlog), b"cdef");
        backlog.advance(2);
        assert_eq!(waits(&backlog), b"ef");
        backlog.advance(2);
        assert!(backlog.is_empty());
    }

    #[test]
    fn the_oldest_whole_frames_are_dropped_for_new_ones() {
        let mut backlog = Backlog::default();
        push(&mut backlog, b"1111", 0);
        push(&mut backlog, b"2222", 0);

        assert_eq!(push(&mut backlog, b"3333", 0), 1);

        assert_eq!(waits(&backlog), b"22223333");
    }

    #[test]
    fn frames_of_a_few_bytes_take_more_than_these() {
        let mut backlog = Backlog::default();

        let dropped: usize = (0..100).map(|_| push(&mut backlog, b"1", 0)).sum();

        assert_eq!((dropped, waits(&backlog).len()), (98, 2));
    }

    #[test]
    fn a_frame_that_was_begun_is_never_dropped() {
        let mut backlog = Backlog::default();
        push(&mut backlog, b"111111", 1);
        push(&mut backlog, b"2222", 0);

        assert_eq!(push(&mut backlog, b"3333", 0), 1);
        assert_eq!(waits(&backlog), b"111113333");

        assert_eq!(push(&mut backlog, b"44444444444", 0), 2);
        assert_eq!(waits(&backlog), b"11111");
    }
}
