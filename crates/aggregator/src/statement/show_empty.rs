//! SHOW of what there is none of here: replication, stored programs, profiles. Monitoring agents and administration
//! programs ask for them all the same, and read the empty set with MySQL 8's columns.

use super::grid::Grid;
use super::show::{TEXT, UNSIGNED};
use sql::statement::ShowWhat;
use types::SqlType;
use types::sql_type::LobSize;

const MOMENT: SqlType = SqlType::DateTime { fsp: 0 };
const LONG: SqlType = SqlType::Text(LobSize::Normal);

const OPEN_TABLES: &[(&str, SqlType)] =
    &[("Database", TEXT), ("Table", TEXT), ("In_use", UNSIGNED), ("Name_locked", UNSIGNED)];

const PROFILES: &[(&str, SqlType)] =
    &[("Query_ID", UNSIGNED), ("Duration", SqlType::Double), ("Query", TEXT)];

const TRIGGERS: &[(&str, SqlType)] = &[
    ("Trigger", TEXT),
    ("Event", TEXT),
    ("Table", TEXT),
    ("Statement", LONG),
    ("Timing", TEXT),
    ("Created", SqlType::Timestamp { fsp: 2 }),
    ("sql_mode", TEXT),
    ("Definer", TEXT),
    ("character_set_client", TEXT),
    ("collation_connection", TEXT),
    ("Database Collation", TEXT),
];

const EVENTS: &[(&str, SqlType)] = &[
    ("Db", TEXT),
    ("Name", TEXT),
    ("Definer", TEXT),
    ("Time zone", TEXT),
    ("Type", TEXT),
    ("Execute at", MOMENT),
    ("Interval value", TEXT),
    ("Interval field", TEXT),
    ("Starts", MOMENT),
    ("Ends", MOMENT),
    ("Status", TEXT),
    ("Originator", UNSIGNED),
    ("character_set_client", TEXT),
    ("collation_connection", TEXT),
    ("Database Collation", TEXT),
];

const ROUTINES: &[(&str, SqlType)] = &[
    ("Db", TEXT),
    ("Name", TEXT),
    ("Type", TEXT),
    ("Definer", TEXT),
    ("Modified", SqlType::Timestamp { fsp: 0 }),
    ("Created", SqlType::Timestamp { fsp: 0 }),
    ("Security_type", TEXT),
    ("Comment", LONG),
    ("character_set_client", TEXT),
    ("collation_connection", TEXT),
    ("Database Collation", TEXT),
];

const LOG_STATUS: &[(&str, SqlType)] = &[
    ("File", TEXT),
    ("Position", UNSIGNED),
    ("Binlog_Do_DB", TEXT),
    ("Binlog_Ignore_DB", TEXT),
    ("Executed_Gtid_Set", TEXT),
];

const REPLICAS: &[(&str, SqlType)] = &[
    ("Server_Id", UNSIGNED),
    ("Host", TEXT),
    ("Port", UNSIGNED),
    ("Source_Id", UNSIGNED),
    ("Replica_UUID", TEXT),
];

const SLAVE_HOSTS: &[(&str, SqlType)] = &[
    ("Server_id", UNSIGNED),
    ("Host", TEXT),
    ("Port", UNSIGNED),
    ("Master_id", UNSIGNED),
    ("Slave_UUID", TEXT),
];

const REPLICA_STATUS: &[(&str, SqlType)] = &[
    ("Replica_IO_State", TEXT),
    ("Source_Host", TEXT),
    ("Source_User", TEXT),
    ("Source_Port", UNSIGNED),
    ("Connect_Retry", UNSIGNED),
    ("Source_Log_File", TEXT),
    ("Read_Source_Log_Pos", UNSIGNED),
    ("Relay_Log_File", TEXT),
    ("Relay_Log_Pos", UNSIGNED),
    ("Relay_Source_Log_File", TEXT),
    ("Replica_IO_Running", TEXT),
    ("Replica_SQL_Running", TEXT),
    ("Replicate_Do_DB", TEXT),
    ("Replicate_Ignore_DB", TEXT),
    ("Replicate_Do_Table", TEXT),
    ("Replicate_Ignore_Table", TEXT),
    ("Replicate_Wild_Do_Table", TEXT),
    ("Replicate_Wild_Ignore_Table", TEXT),
    ("Last_Errno", UNSIGNED),
    ("Last_Error", TEXT),
    ("Skip_Counter", UNSIGNED),
    ("Exec_Source_Log_Pos", UNSIGNED),
    ("Relay_Log_Space", UNSIGNED),
    ("Until_Condition", TEXT),
    ("Until_Log_File", TEXT),
    ("Until_Log_Pos", UNSIGNED),
    ("Source_SSL_Allowed", TEXT),
    ("Source_SSL_CA_File", TEXT),
    ("Source_SSL_CA_Path", TEXT),
    ("Source_SSL_Cert", TEXT),
    ("Source_SSL_Cipher", TEXT),
    ("Source_SSL_Key", TEXT),
    ("Seconds_Behind_Source", UNSIGNED),
    ("Source_SSL_Verify_Server_Cert", TEXT),
    ("Last_IO_Errno", UNSIGNED),
    ("Last_IO_Error", TEXT),
    ("Last_SQL_Errno", UNSIGNED),
    ("Last_SQL_Error", TEXT),
    ("Replicate_Ignore_Server_Ids", TEXT),
    ("Source_Server_Id", UNSIGNED),
    ("Source_UUID", TEXT),
    ("Source_Info_File", TEXT),
    ("SQL_Delay", UNSIGNED),
    ("SQL_Remaining_Delay", UNSIGNED),
    ("Replica_SQL_Running_State", TEXT),
    ("Source_Retry_Count", UNSIGNED),
    ("Source_Bind", TEXT),
    ("Last_IO_Error_Timestamp", TEXT),
    ("Last_SQL_Error_Timestamp", TEXT),
    ("Source_SSL_Crl", TEXT),
    ("Source_SSL_Crlpath", TEXT),
    ("Retrieved_Gtid_Set", TEXT),
    ("Executed_Gtid_Set", TEXT),
    ("Auto_Position", UNSIGNED),
    ("Replicate_Rewrite_DB", TEXT),
    ("Channel_Name", TEXT),
    ("Source_TLS_Version", TEXT),
    ("Source_public_key_path", TEXT),
    ("Get_Source_public_key", UNSIGNED),
    ("Network_Namespace", TEXT),
];

/// The answer where there is nothing to show; `None`: there may be something.
pub(super) fn empty_grid(what: &ShowWhat) -> Option<Grid> {
    let columns = match what {
        ShowWhat::OpenTables { .. } => OPEN_TABLES,
        ShowWhat::Profiles => PROFILES,
        ShowWhat::Triggers { .. } => TRIGGERS,
        ShowWhat::Events { .. } => EVENTS,
        ShowWhat::FunctionStatus | ShowWhat::ProcedureStatus => ROUTINES,
        ShowWhat::LogStatus => LOG_STATUS,
        ShowWhat::Replicas { old_names: false } => REPLICAS,
        ShowWhat::Replicas { old_names: true } => SLAVE_HOSTS,
        ShowWhat::ReplicaStatus { old_names: false } => REPLICA_STATUS,
        ShowWhat::ReplicaStatus { old_names: true } => {
            let names: Vec<String> = REPLICA_STATUS.iter().map(|(name, _)| old_name(name)).collect();
            let types = REPLICA_STATUS.iter().map(|(_, ty)| *ty);
            return Some(Grid::new(names.iter().map(String::as_str).zip(types)));
        }
        _ => return None,
    };
    Some(Grid::new(columns.iter().copied()))
}

/// What SHOW SLAVE STATUS calls a column of SHOW REPLICA STATUS.
fn old_name(name: &str) -> String {
    match name {
        "Get_Source_public_key" => "Get_master_public_key".to_string(),
        _ => name.replace("Replica_", "Slave_").replace("Source", "Master"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_by_both_of_its_names() {
        let names = |old_names| -> Vec<String> {
            let grid = empty_grid(&ShowWhat::ReplicaStatus { old_names }).unwrap();
            grid.columns().iter().map(|(name, _)| name.clone()).collect()
        };
        let (new, old) = (names(false), names(true));
        assert_eq!((new.len(), old.len()), (60, 60));
        assert_eq!((new[0].as_str(), old[0].as_str()), ("Replica_IO_State", "Slave_IO_State"));
        assert_eq!((new[12].as_str(), old[12].as_str()), ("Replicate_Do_DB", "Replicate_Do_DB"));
        assert_eq!((new[32].as_str(), old[32].as_str()), ("Seconds_Behind_Source", "Seconds_Behind_Master"));
        assert_eq!(old[58], "Get_master_public_key");
    }
}
