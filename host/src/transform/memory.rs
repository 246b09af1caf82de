//! How much memory a guest has, and the bound on it.

use wasmtime::{ResourceLimiter, Result, StoreLimits, StoreLimitsBuilder};

/// Bounds a guest's memory and counts it. Linear memories never shrink, so what is counted is the peak.
pub(super) struct GuestMemory {
    limits: StoreLimits,
    bytes: usize,
    /// What was granted last: taken back if the system does not give it.
    granted: usize,
    bytes_max: usize,
    /// Whether it asked for more than it may have, in the call that runs.
    pub(super) refused: bool,
}

impl GuestMemory {
    pub(super) fn new(bytes_max: usize) -> Self {
        GuestMemory {
            limits: StoreLimitsBuilder::new().memory_size(bytes_max).build(),
            bytes: 0,
            granted: 0,
            bytes_max,
            refused: false,
        }
    }

    /// The bytes of all linear memories together.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }
}

impl ResourceLimiter for GuestMemory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        // A component may have several memories: together they count.
        let fits = self.bytes.saturating_add(more) <= self.bytes_max;
        let granted = self.limits.memory_growing(current, desired, maximum)? && fits;
        self.refused |= !granted;
        self.granted = if granted { more } else { 0 };
        self.bytes = self.bytes.saturating_add(self.granted);
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.granted));
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
