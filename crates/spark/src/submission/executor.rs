//! What the driver will ask Kubernetes for each executor, and how many executors it will ask for:
//! the same settings, read by the rules of the same version.
//!
//! Executors are made by the driver, not at submission. Whoever has to know their size before
//! (queues, gang schedulers) must come to the same numbers; recordings of executor pods that Spark
//! made hold this module to that.

use super::memory::{JVM_OVERHEAD_FACTOR, MIN_OVERHEAD_MIB, Overhead, PodMemory};
use super::profile::Profile;
use super::settings::Settings;
use super::{Client, Conf, SubmitError};

const CORES_REQUEST: &str = "spark.kubernetes.executor.request.cores";
const CORES_LIMIT: &str = "spark.kubernetes.executor.limit.cores";
const RESOURCES: &str = "spark.executor.resource.";

/// What Spark's container of an executor asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutorContainer {
    /// The CPU request, as a quantity.
    pub cpu_request: String,
    /// The CPU limit, as a quantity, where there is one.
    pub cpu_limit: Option<String>,
    /// The memory request, which is also the limit.
    pub memory: PodMemory,
    /// GPUs and the like: the name of the resource and how many of it.
    pub others: Vec<(String, u32)>,
}

/// How many executors there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorCount {
    /// This many from the beginning to the end.
    Fixed(u32),
    /// As many as there is work for (dynamic allocation).
    Dynamic {
        /// At least this many.
        min: u32,
        /// So many to begin with.
        initial: u32,
        /// At most so many, where there is a bound.
        max: Option<u32>,
    },
}

impl ExecutorCount {
    /// How many must find room for the application to get anywhere: a driver without executors
    /// does nothing, however few it may make do with.
    pub const fn least(self) -> u32 {
        match self {
            Self::Fixed(count) => count,
            Self::Dynamic { min: 0, .. } => 1,
            Self::Dynamic { min, .. } => min,
        }
    }

    /// How many the driver asks for when it starts.
    pub const fn initial(self) -> u32 {
        match self {
            Self::Fixed(count) => count,
            Self::Dynamic { initial, .. } => initial,
        }
    }
}

/// Reads the settings a driver is started with (`spark.properties`).
pub fn executors(
    conf: &Conf,
    profile: Profile,
) -> Result<(ExecutorContainer, ExecutorCount), SubmitError> {
    // Settings of the submitting machine do not reach executors.
    let client = Client::bare("");
    let settings = Settings::new(conf, &client, profile);
    let cpu_request = match settings.text(CORES_REQUEST)? {
        Some(cores) => cores,
        None => settings
            .integer("spark.executor.cores")?
            .unwrap_or(1)
            .to_string(),
    };
    let container = ExecutorContainer {
        cpu_request,
        cpu_limit: settings.text(CORES_LIMIT)?,
        memory: memory(&settings, &profile)?,
        others: others(&settings),
    };
    Ok((container, count(&settings)?))
}

fn memory(settings: &Settings<'_>, profile: &Profile) -> Result<PodMemory, SubmitError> {
    // The submission writes down the factor that belongs to the language.
    let general = settings.double("spark.kubernetes.memoryOverheadFactor")?;
    let factor = settings.double("spark.executor.memoryOverheadFactor")?;
    let minimum = if profile.reads_min_overhead {
        settings.mib("spark.executor.minMemoryOverhead")?
    } else {
        None
    };
    let overhead = match settings.mib("spark.executor.memoryOverhead")? {
        Some(mib) => Overhead::Explicit(mib),
        None => Overhead::Factor {
            factor: factor.or(general).unwrap_or(JVM_OVERHEAD_FACTOR),
            minimum: minimum.unwrap_or(MIN_OVERHEAD_MIB),
        },
    };
    let off_heap = if settings.boolean("spark.memory.offHeap.enabled", false)? {
        settings.bytes("spark.memory.offHeap.size")?.unwrap_or(0) / (1 << 20)
    } else {
        0
    };
    let is_python = settings.raw("spark.kubernetes.resource.type") == Some("python");
    let pyspark = if is_python {
        settings.mib("spark.executor.pyspark.memory")?.unwrap_or(0)
    } else {
        0
    };
    Ok(PodMemory {
        heap: settings.mib("spark.executor.memory")?.unwrap_or(1024),
        overhead,
        off_heap,
        pyspark,
    })
}

/// `spark.executor.resource.<name>.{amount,vendor}`; what is incomplete the driver refuses itself.
fn others(settings: &Settings<'_>) -> Vec<(String, u32)> {
    let below = settings.below(RESOURCES);
    below
        .iter()
        .filter_map(|(key, amount)| {
            let name = key.strip_suffix(".amount")?;
            let vendor = below.get(format!("{name}.vendor").as_str())?;
            let amount = amount.trim().parse().ok().filter(|amount| *amount > 0)?;
            Some((format!("{vendor}/{name}"), amount))
        })
        .collect()
}

fn count(settings: &Settings<'_>) -> Result<ExecutorCount, SubmitError> {
    let number = |key: &str| -> Result<Option<u32>, SubmitError> {
        let number = settings.integer(key)?;
        Ok(number.map(|number| u32::try_from(number).unwrap_or(0)))
    };
    let instances = number("spark.executor.instances")?;
    if !settings.boolean("spark.dynamicAllocation.enabled", false)? {
        return Ok(ExecutorCount::Fixed(instances.unwrap_or(2)));
    }
    let min = number("spark.dynamicAllocation.minExecutors")?.unwrap_or(0);
    let initial = number("spark.dynamicAllocation.initialExecutors")?.unwrap_or(min);
    let max = match settings.text("spark.dynamicAllocation.maxExecutors")? {
        Some(text) if text.trim() == "infinity" => None,
        _ => number("spark.dynamicAllocation.maxExecutors")?,
    };
    Ok(ExecutorCount::Dynamic {
        min,
        initial: initial.max(min).max(instances.unwrap_or(0)),
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: &str, conf: &[(&str, &str)]) -> (ExecutorContainer, ExecutorCount) {
        let conf = conf
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        executors(&conf, Profile::of(&version.parse().unwrap()).0).unwrap()
    }

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn memory_is_the_sum_of_its_parts_as_the_version_counts_them() {
        let python = ("spark.kubernetes.resource.type", "python");
        let cases: &[(&str, Pairs<'_>, i64)] = &[
            ("4.3", &[], 1408),
            (
                "4.3",
                &[("spark.kubernetes.memoryOverheadFactor", "0.4")],
                1433,
            ),
            (
                "4.3",
                &[
                    ("spark.kubernetes.memoryOverheadFactor", "0.4"),
                    ("spark.executor.memoryOverheadFactor", "0.9"),
                ],
                1945,
            ),
            (
                "4.3",
                &[
                    ("spark.executor.memory", "8g"),
                    ("spark.executor.memoryOverhead", "512"),
                ],
                8704,
            ),
            ("3.5", &[("spark.executor.minMemoryOverhead", "1g")], 1408),
            ("4.3", &[("spark.executor.minMemoryOverhead", "1g")], 2048),
            (
                "4.3",
                &[
                    ("spark.memory.offHeap.enabled", "true"),
                    ("spark.memory.offHeap.size", "1g"),
                ],
                2432,
            ),
            ("4.3", &[("spark.memory.offHeap.size", "1g")], 1408),
            ("4.3", &[("spark.executor.pyspark.memory", "2g")], 1408),
            (
                "4.3",
                &[("spark.executor.pyspark.memory", "2g"), python],
                3456,
            ),
        ];
        for (version, conf, total) in cases {
            let (container, _) = read(version, conf);
            assert_eq!(container.memory.total_mib(), *total, "{version} {conf:?}");
        }
    }

    #[test]
    fn executors_are_counted_as_spark_counts_them() {
        let on = ("spark.dynamicAllocation.enabled", "true");
        let dynamic = |min, initial, max| ExecutorCount::Dynamic { min, initial, max };
        let cases: &[(Pairs<'_>, ExecutorCount, u32)] = &[
            (&[], ExecutorCount::Fixed(2), 2),
            (
                &[("spark.executor.instances", "5")],
                ExecutorCount::Fixed(5),
                5,
            ),
            (&[on], dynamic(0, 0, None), 1),
            (
                &[
                    on,
                    ("spark.executor.instances", "4"),
                    ("spark.dynamicAllocation.minExecutors", "2"),
                    ("spark.dynamicAllocation.maxExecutors", "9"),
                ],
                dynamic(2, 4, Some(9)),
                2,
            ),
            (
                &[
                    on,
                    ("spark.dynamicAllocation.minExecutors", "3"),
                    ("spark.dynamicAllocation.initialExecutors", "1"),
                ],
                dynamic(3, 3, None),
                3,
            ),
        ];
        for (conf, count, least) in cases {
            let (_, read) = read("4.3", conf);
            assert_eq!((read, read.least()), (*count, *least), "{conf:?}");
        }
    }

    #[test]
    fn cores_and_other_resources_are_what_the_settings_say() {
        let (container, _) = read(
            "4.3",
            &[
                ("spark.executor.cores", "3"),
                ("spark.kubernetes.executor.limit.cores", "3500m"),
                ("spark.executor.resource.gpu.amount", "2"),
                ("spark.executor.resource.gpu.vendor", "nvidia.com"),
                ("spark.executor.resource.fpga.amount", "2"),
            ],
        );
        assert_eq!(container.cpu_request, "3");
        assert_eq!(container.cpu_limit.as_deref(), Some("3500m"));
        assert_eq!(container.others, [("nvidia.com/gpu".to_owned(), 2)]);
    }

    #[test]
    fn what_the_driver_would_refuse_names_the_setting() {
        let conf = [("spark.executor.memory".to_owned(), "much".to_owned())];
        let profile = Profile::of(&"4.3".parse().unwrap()).0;
        let error = executors(&conf.into(), profile).unwrap_err();
        assert_eq!(error.key(), "spark.executor.memory");
    }
}
