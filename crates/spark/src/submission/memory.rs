//! The resource model: how much memory and how many cores Spark asks Kubernetes for.
//!
//! One place for drivers and executors, for submission, quotas and queues. Laws: all amounts are
//! whole MiB, fractions are cut off as the JVM does; an explicit overhead wins over any factor;
//! a factor never gives less than the minimum.

use windlass_api::jvm::{Memory, MemoryError, Unit};

use super::profile::Profile;

/// The overhead factor of programs that run mostly outside the JVM.
pub const NON_JVM_OVERHEAD_FACTOR: f64 = 0.4;

/// The overhead factor of programs that run in the JVM.
pub const JVM_OVERHEAD_FACTOR: f64 = 0.1;

/// The least overhead in MiB, unless the version lets users set another and they do.
pub const MIN_OVERHEAD_MIB: i64 = 384;

/// What a process asks for besides its heap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Overhead {
    /// This many MiB, whatever the heap.
    Explicit(i64),
    /// A share of the heap, but not less than the minimum.
    Factor {
        /// The share of the heap.
        factor: f64,
        /// The least overhead in MiB.
        minimum: i64,
    },
}

impl Overhead {
    /// The overhead of a heap, in MiB.
    pub fn mib(self, heap: i64) -> i64 {
        match self {
            Self::Explicit(mib) => mib,
            // `as` saturates like the JVM's conversion of a double to an int.
            Self::Factor { factor, minimum } => {
                i64::from((factor * heap as f64) as i32).max(minimum)
            }
        }
    }
}

/// The memory of one pod, in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodMemory {
    /// The JVM's heap.
    pub heap: i64,
    /// What the process needs besides.
    pub overhead: Overhead,
    /// Memory outside the heap that Spark manages itself.
    pub off_heap: i64,
    /// The limit of the Python workers, when they have one of their own.
    pub pyspark: i64,
}

impl PodMemory {
    /// What the pod requests, which is also its limit.
    pub fn total_mib(self) -> i64 {
        self.heap
            .saturating_add(self.overhead.mib(self.heap))
            .saturating_add(self.off_heap)
            .saturating_add(self.pyspark)
    }
}

/// Reads a memory setting as MiB: a bare number is MiB, and a minus sign is allowed.
pub fn mib(text: &str, profile: &Profile) -> Result<i64, MemoryError> {
    let magnitude = |text: &str| {
        let memory = read(text, Unit::Mib, profile)?;
        Ok(i64::try_from(memory.mib()).unwrap_or(i64::MAX))
    };
    match text.strip_prefix('-') {
        Some(text) => magnitude(text).map(|mib| -mib),
        None => magnitude(text),
    }
}

/// Reads a size; later versions know Kubernetes' units, `mi` and `mib` for `m`, as well.
pub fn read(text: &str, bare: Unit, profile: &Profile) -> Result<Memory, MemoryError> {
    match Memory::parse(text, bare) {
        Err(error) if profile.binary_units => match without_binary_suffix(text) {
            Some(plain) => Memory::parse(&plain, bare),
            None => Err(error),
        },
        result => result,
    }
}

/// `2gib` and `2gi` as `2g`.
fn without_binary_suffix(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let plain = text.strip_suffix("ib").or_else(|| text.strip_suffix('i'))?;
    plain
        .ends_with(['k', 'm', 'g', 't', 'p'])
        .then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(version: &str) -> Profile {
        Profile::of(&version.parse().unwrap()).0
    }

    #[test]
    fn sizes_are_read_as_the_version_reads_them() {
        for (text, v4_1, v4_2) in [
            ("512", Some(512), Some(512)),
            (" 1G ", Some(1024), Some(1024)),
            ("2048k", Some(2), Some(2)),
            ("-100m", Some(-100), Some(-100)),
            ("1tb", Some(1 << 20), Some(1 << 20)),
            ("12mi", None, Some(12)),
            ("2GiB", None, Some(2048)),
            ("1ib", None, None),
            ("1.5g", None, None),
            ("", None, None),
        ] {
            assert_eq!(mib(text, &profile("4.1")).ok(), v4_1, "{text:?}");
            assert_eq!(mib(text, &profile("4.2")).ok(), v4_2, "{text:?}");
        }
    }

    #[test]
    fn the_overhead_is_a_share_with_a_minimum_unless_it_is_given() {
        let share = |factor| Overhead::Factor {
            factor,
            minimum: MIN_OVERHEAD_MIB,
        };
        for (overhead, heap, total) in [
            (share(JVM_OVERHEAD_FACTOR), 1024, 1408),
            (share(JVM_OVERHEAD_FACTOR), 102_400, 112_640),
            (share(NON_JVM_OVERHEAD_FACTOR), 1024, 1433),
            (Overhead::Explicit(512), 3072, 3584),
            (Overhead::Explicit(-100), 1024, 924),
        ] {
            let memory = PodMemory {
                heap,
                overhead,
                off_heap: 0,
                pyspark: 0,
            };
            assert_eq!(memory.total_mib(), total, "{overhead:?}");
        }
    }
}
