//! The table of system variables.

use super::SERVER_VERSION;

/// What a variable may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Integer {
        min: u64,
        max: u64,
    },
    Enum(&'static [&'static str]),
    Text,
    Charset,
    Collation,
    TimeZone,
    Isolation,
    SqlMode,
    /// How AES_ENCRYPT works.
    BlockEncryption,
}

/// Where a variable has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Both,
    Global,
    Session,
    /// A session takes the server's value when it begins, and keeps it.
    Connecting,
}

#[derive(Debug, Clone, Copy)]
pub struct Variable {
    pub name: &'static str,
    /// As SHOW VARIABLES prints it; NULL for NULL.
    pub default: &'static str,
    pub kind: Kind,
    pub scope: Where,
    pub settable: bool,
}

const fn read(name: &'static str, default: &'static str, kind: Kind) -> Variable {
    Variable { name, default, kind, scope: Where::Global, settable: false }
}

const fn both(name: &'static str, default: &'static str, kind: Kind) -> Variable {
    Variable { name, default, kind, scope: Where::Both, settable: true }
}

const fn connecting(name: &'static str, default: &'static str, kind: Kind) -> Variable {
    Variable { name, default, kind, scope: Where::Connecting, settable: true }
}

const fn global(name: &'static str, default: &'static str, kind: Kind) -> Variable {
    Variable { name, default, kind, scope: Where::Global, settable: true }
}

const fn session(name: &'static str, default: &'static str, kind: Kind) -> Variable {
    Variable { name, default, kind, scope: Where::Session, settable: true }
}

const fn between(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const ANY: Kind = between(0, u64::MAX);
const SECONDS: Kind = between(1, 31_536_000);

/// Sorted by name.
pub const VARIABLES: &[Variable] = &[
    global("admission_heavy_limit", "32", between(0, 100_000)),
    global("admission_light_limit", "512", between(0, 100_000)),
    global("admission_queue_limit", "1000", between(0, 100_000)),
    global("admission_queue_timeout", "60", between(1, 86_400)),
    both("auto_increment_increment", "1", between(1, 65_535)),
    both("auto_increment_offset", "1", between(1, 65_535)),
    both("autocommit", "ON", Kind::Bool),
    read("back_log", "1024", ANY),
    read("basedir", "/", Kind::Text),
    both("big_tables", "OFF", Kind::Bool),
    read("bind_address", "*", Kind::Text),
    both("block_encryption_mode", "aes-128-ecb", Kind::BlockEncryption),
    both("bulk_insert_buffer_size", "8388608", ANY),
    both("character_set_client", "utf8mb4", Kind::Charset),
    both("character_set_connection", "utf8mb4", Kind::Charset),
    both("character_set_database", "utf8mb4", Kind::Charset),
    both("character_set_filesystem", "binary", Kind::Charset),
    both("character_set_results", "utf8mb4", Kind::Charset),
    both("character_set_server", "utf8mb4", Kind::Charset),
    read("character_set_system", "utf8mb3", Kind::Charset),
    both("collation_connection", "utf8mb4_bin", Kind::Collation),
    both("collation_database", "utf8mb4_bin", Kind::Collation),
    both("collation_server", "utf8mb4_bin", Kind::Collation),
    both("completion_type", "NO_CHAIN", Kind::Enum(&["NO_CHAIN", "CHAIN", "RELEASE"])),
    global("connect_timeout", "10", between(2, 31_536_000)),
    read("core_file", "OFF", Kind::Bool),
    both("cte_max_recursion_depth", "1000", between(0, 4_294_967_295)),
    read("datadir", "/var/lib/pando/", Kind::Text),
    both("default_storage_engine", "Pando", Kind::Text),
    both("default_week_format", "0", between(0, 7)),
    both("div_precision_increment", "4", between(0, 30)),
    both("eq_range_index_dive_limit", "200", ANY),
    read("error_count", "0", ANY),
    both("explicit_defaults_for_timestamp", "ON", Kind::Bool),
    session("external_user", "NULL", Kind::Text),
    both("foreign_key_checks", "ON", Kind::Bool),
    global("general_log", "OFF", Kind::Bool),
    both("group_concat_max_len", "1024", between(4, u64::MAX)),
    read("have_openssl", "YES", Kind::Text),
    read("have_profiling", "NO", Kind::Text),
    read("have_query_cache", "NO", Kind::Text),
    read("have_ssl", "YES", Kind::Text),
    read("hostname", "localhost", Kind::Text),
    global("init_connect", "", Kind::Text),
    both("innodb_lock_wait_timeout", "50", between(1, 1_073_741_824)),
    read("innodb_read_only", "OFF", Kind::Bool),
    read("innodb_version", "8.0.40", Kind::Text),
    session("insert_id", "0", ANY),
    both("interactive_timeout", "28800", SECONDS),
    both("join_buffer_size", "262144", between(128, u64::MAX)),
    read("large_files_support", "ON", Kind::Bool),
    session("last_insert_id", "0", ANY),
    both("lc_messages", "en_US", Kind::Text),
    both("lc_time_names", "en_US", Kind::Text),
    read("license", "Apache-2.0", Kind::Text),
    global("local_infile", "OFF", Kind::Bool),
    both("lock_wait_timeout", "31536000", SECONDS),
    read("log_bin", "OFF", Kind::Bool),
    both("long_query_time", "10", ANY),
    both("low_priority_updates", "OFF", Kind::Bool),
    read("lower_case_file_system", "OFF", Kind::Bool),
    read("lower_case_table_names", "0", between(0, 2)),
    connecting("max_allowed_packet", "67108864", between(1024, 1_073_741_824)),
    global("max_connections", "10000", between(1, 100_000)),
    both("max_error_count", "1024", between(0, 65_535)),
    both("max_execution_time", "0", between(0, 4_294_967_295)),
    both("max_heap_table_size", "16777216", between(16_384, u64::MAX)),
    both("max_join_size", "18446744073709551615", between(1, u64::MAX)),
    global("max_prepared_stmt_count", "16382", between(0, 4_194_304)),
    both("max_sort_length", "1024", between(4, 8_388_608)),
    connecting("net_buffer_length", "16384", between(1024, 1_048_576)),
    both("net_read_timeout", "30", SECONDS),
    both("net_retry_count", "10", between(1, u64::MAX)),
    both("net_write_timeout", "60", SECONDS),
    both("old_passwords", "0", between(0, 2)),
    both("optimizer_switch", "", Kind::Text),
    // OFF: every statement is planned, those on one row by its key too.
    both("pando_binary_unique_keys", "OFF", Kind::Bool),
    both("pando_point_statements", "ON", Kind::Bool),
    // What one query may hold in memory on each node, in bytes; 0: as much as the node allows.
    both("pando_query_memory", "0", ANY),
    // For tests: what the planner is told of the tables' sizes and values.
    both("pando_statistics", "KNOWN", Kind::Enum(&["KNOWN", "NONE", "SCRAMBLED"])),
    both("pando_statistics_seed", "0", ANY),
    read("performance_schema", "OFF", Kind::Bool),
    read("pid_file", "", Kind::Text),
    read("port", "3306", between(0, 65_535)),
    both("profiling", "OFF", Kind::Bool),
    read("protocol_version", "10", ANY),
    session("proxy_user", "NULL", Kind::Text),
    both("query_alloc_block_size", "8192", between(1024, 4_294_966_272)),
    both("query_cache_size", "0", ANY),
    both("query_cache_type", "OFF", Kind::Enum(&["OFF", "ON", "DEMAND"])),
    global("read_only", "OFF", Kind::Bool),
    both("read_rnd_buffer_size", "262144", between(1, 2_147_483_647)),
    global("require_secure_transport", "OFF", Kind::Bool),
    read("secure_file_priv", "", Kind::Text),
    read("server_id", "1", ANY),
    read("server_uuid", "00000000-0000-0000-0000-000000000000", Kind::Text),
    both("session_track_gtids", "OFF", Kind::Enum(&["OFF", "OWN_GTID", "ALL_GTIDS"])),
    both("session_track_schema", "ON", Kind::Bool),
    both("session_track_state_change", "OFF", Kind::Bool),
    both(
        "session_track_system_variables",
        "time_zone,autocommit,character_set_client,character_set_results,character_set_connection",
        Kind::Text,
    ),
    both("show_create_table_verbosity", "OFF", Kind::Bool),
    read("skip_external_locking", "ON", Kind::Bool),
    read("skip_name_resolve", "ON", Kind::Bool),
    read("skip_networking", "OFF", Kind::Bool),
    global("slow_query_log", "OFF", Kind::Bool),
    read("socket", "", Kind::Text),
    both("sort_buffer_size", "262144", between(32_768, u64::MAX)),
    both("sql_auto_is_null", "OFF", Kind::Bool),
    both("sql_big_selects", "ON", Kind::Bool),
    both("sql_buffer_result", "OFF", Kind::Bool),
    session("sql_log_bin", "ON", Kind::Bool),
    both(
        "sql_mode",
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
         ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        Kind::SqlMode,
    ),
    both("sql_notes", "ON", Kind::Bool),
    both("sql_quote_show_create", "ON", Kind::Bool),
    both("sql_require_primary_key", "OFF", Kind::Bool),
    both("sql_safe_updates", "OFF", Kind::Bool),
    both("sql_select_limit", "18446744073709551615", ANY),
    both("sql_warnings", "OFF", Kind::Bool),
    global("super_read_only", "OFF", Kind::Bool),
    read("system_time_zone", "UTC", Kind::Text),
    global("table_open_cache", "4000", between(1, 524_288)),
    both("time_zone", "SYSTEM", Kind::TimeZone),
    session("timestamp", "0", ANY),
    read("tls_version", "TLSv1.2,TLSv1.3", Kind::Text),
    both("tmp_table_size", "16777216", between(1024, u64::MAX)),
    both("transaction_isolation", "READ-COMMITTED", Kind::Isolation),
    both("transaction_read_only", "OFF", Kind::Bool),
    both("unique_checks", "ON", Kind::Bool),
    both("updatable_views_with_limit", "YES", Kind::Enum(&["NO", "YES"])),
    read("version", SERVER_VERSION, Kind::Text),
    read("version_comment", "Pando", Kind::Text),
    read("version_compile_machine", std::env::consts::ARCH, Kind::Text),
    read("version_compile_os", std::env::consts::OS, Kind::Text),
    both("wait_timeout", "28800", SECONDS),
    read("warning_count", "0", ANY),
];
