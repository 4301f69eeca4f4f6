//! What the planner must know besides the query.

use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::config::ConfigOptions;

/// See the module.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Leaves that hold them. On one, an operator that collects its build side sees all of its probe
    /// side, so outer and semi joins that keep the build side's rows may collect it too.
    pub leaves: usize,
    /// The session's time zone, for functions that ask for it.
    pub time_zone: Option<String>,
    /// Rows up to which a build side is collected without looking at costs.
    pub small_build_rows: usize,
    /// Bytes above which a build side is not collected, whatever it would save.
    pub large_build_bytes: usize,
    /// Rounds that a recursive query may take.
    pub recursion_limit: u64,
}

impl Default for Settings {
    /// For one leaf.
    fn default() -> Settings {
        Settings {
            leaves: 1,
            time_zone: None,
            small_build_rows: 10_000,
            large_build_bytes: 256 << 20,
            recursion_limit: 1000,
        }
    }
}

impl Settings {
    /// DataFusion's options for planning and running.
    pub(crate) fn options(&self, partitions: usize) -> ConfigOptions {
        let mut options = ConfigOptions::default();
        options.execution.batch_size =
            ConfigNonZeroUsize::try_new(8192).unwrap_or(options.execution.batch_size);
        options.execution.target_partitions = partitions;
        options.execution.planning_concurrency = 1;
        options.execution.time_zone = self.time_zone.clone();
        options.execution.perfect_hash_join_small_build_threshold = 1 << 16;
        options.execution.perfect_hash_join_min_key_density = 0.05;
        // Short lists of build keys are searched by the storage, before it decodes anything else.
        options.optimizer.hash_join_inlist_pushdown_max_distinct_values = exec::scan::MAX_IN_VALUES;
        // A column's declared type rides on its field, and a cast column has none: they need not agree.
        options.execution.skip_physical_aggregate_schema_check = true;
        // What a sort sets aside for the merge of what it wrote to files.
        options.execution.sort_spill_reservation_bytes = 1 << 20;
        options.optimizer.enable_round_robin_repartition = false;
        options.optimizer.repartition_file_scans = false;
        // The joins' sides are chosen by our rules.
        options.optimizer.join_reordering = false;
        options.optimizer.subset_repartition_threshold = 1;
        options
    }
}
