//! An array in the agent's own pages that grows by doubling.
//!
//! Elements are moved about and never dropped: what they own is the caller's to give back. Where the kernel has no memory, growing fails and the array stays
//! as it was.
//!
//! Unsafe: slices over mapped pages.
#![allow(unsafe_code)]

use core::mem::size_of;

use crate::pages;

/// See the module. The pages go back on drop, which the agent's own tables never meet.
pub(crate) struct Array<T> {
    start: *mut T,
    len: usize,
    capacity: usize,
}

// SAFETY: the pages belong to this value alone.
unsafe impl<T: Send> Send for Array<T> {}

impl<T> Array<T> {
    /// Nothing mapped.
    pub(crate) const fn new() -> Array<T> {
        Array { start: core::ptr::NonNull::dangling().as_ptr(), len: 0, capacity: 0 }
    }

    /// The elements.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: `len` elements from `start` on were written, in pages of ours (or `len` is 0).
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }

    /// The elements, to be changed.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// The elements before `idx`, and that one to be changed; `None` where there is none.
    #[inline]
    pub(crate) fn split_mut(&mut self, idx: usize) -> Option<(&[T], &mut T)> {
        let (before, from) = self.as_mut_slice().split_at_mut_checked(idx)?;
        Some((before, from.first_mut()?))
    }

    /// Number of elements.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes elements off the end.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds `value`; whether there was memory.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.len == self.capacity && !self.reserve(self.len + 1) {
            return false;
        }
        // SAFETY: `len` is below the capacity of the pages.
        let place = unsafe { self.start.add(self.len) };
        // SAFETY: as above; nothing is there that could be dropped.
        unsafe { place.write(value) };
        self.len += 1;
        true
    }

    /// Adds all of `values` or, without memory, none.
    pub(crate) fn extend(&mut self, values: &[T]) -> bool
    where
        T: Copy,
    {
        if !self.reserve(self.len + values.len()) {
            return false;
        }
        for value in values {
            self.push(*value);
        }
        true
    }

    /// Makes room for `n` elements in all.
    pub(crate) fn reserve(&mut self, n: usize) -> bool {
        if n <= self.capacity {
            return true;
        }
        let n_bytes = n.max(self.capacity * 2).saturating_mul(size_of::<T>());
        let n_bytes = n_bytes.next_multiple_of(pages::PAGE_BYTES);
        let Some(pages) = pages::map(n_bytes) else { return false };
        let start = pages.cast::<T>();
        // SAFETY: both are pages of ours, the new ones hold more, and they do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(self.start, start, self.len) };
        self.release();
        self.start = start;
        self.capacity = n_bytes / size_of::<T>();
        true
    }

    /// Bytes that are mapped.
    fn mapped_bytes(&self) -> usize {
        (self.capacity * size_of::<T>()).next_multiple_of(pages::PAGE_BYTES)
    }

    fn release(&mut self) {
        if self.capacity > 0 {
            // SAFETY: mapped by `reserve` with as many bytes, and no slice is borrowed while `self` is exclusively.
            unsafe { pages::unmap(self.start.cast(), self.mapped_bytes()) };
        }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_grows_and_keeps_what_it_has() {
        let mut array = Array::<[u8; 24]>::new();
        assert!(array.as_slice().is_empty());
        for n in 0..10_000_u32 {
            assert!(array.push([n as u8; 24]));
        }
        assert_eq!(array.len(), 10_000);
        assert!(array.as_slice().iter().enumerate().all(|(n, row)| row[23] == n as u8));
        array.truncate(3);
        array.as_mut_slice()[2] = [9; 24];
        assert_eq!(array.as_slice().last(), Some(&[9; 24]));
        assert!(array.extend(&[[1; 24]; 2]));
        assert_eq!(array.len(), 5);
    }
}
