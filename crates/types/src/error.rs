//! Errors as MySQL clients see them: number, SQLSTATE, a sentence. This file holds the one table
//! that maps a kind to both; no other place writes an errno.

use std::fmt;

pub type Result<T, E = SqlError> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $errno:literal, $state:literal;)*) => {
        /// What went wrong, by MySQL's names (mysqld_error.h). [`ErrorKind::errno`] and
        /// [`ErrorKind::sqlstate`] give what goes on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name,)* }

        impl ErrorKind {
            pub const fn errno(self) -> u16 {
                match self { $(ErrorKind::$name => $errno,)* }
            }
            pub const fn sqlstate(self) -> &'static str {
                match self { $(ErrorKind::$name => $state,)* }
            }
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];
        }
    };
}

kinds! {
    DbCreateExists = 1007, "HY000";
    DbDropExists = 1008, "HY000";
    /// The folder or a file of it cannot be used.
    FileError = 1016, "HY000";
    DiskFull = 1021, "HY000";
    /// The engine of a table has no such option.
    IllegalHandler = 1031, "HY000";
    DupKeyName = 1061, "42000";
    OutOfMemory = 1038, "HY001";
    TooManyConnections = 1040, "08004";
    TooManyConcurrentStatements = 1637, "HY000";
    HandshakeError = 1043, "08S01";
    AccessDeniedDb = 1044, "42000";
    AccessDenied = 1045, "28000";
    NoDatabaseSelected = 1046, "3D000";
    UnknownCommand = 1047, "08S01";
    ColumnCannotBeNull = 1048, "23000";
    UnknownDatabase = 1049, "42000";
    TableExists = 1050, "42S01";
    UnknownTable = 1051, "42S02";
    AmbiguousColumn = 1052, "23000";
    ShuttingDown = 1053, "08S01";
    UnknownColumn = 1054, "42S22";
    WrongFieldWithGroup = 1055, "42000";
    DuplicateColumn = 1060, "42S21";
    DuplicateKey = 1062, "23000";
    ParseError = 1064, "42000";
    EmptyQuery = 1065, "42000";
    NonUniqueTable = 1066, "42000";
    InvalidDefault = 1067, "42000";
    BlobCantHaveDefault = 1101, "42000";
    MultiplePrimaryKeys = 1068, "42000";
    KeyColumnMissing = 1072, "42000";
    ColumnTooBig = 1074, "42000";
    WrongAutoKey = 1075, "42000";
    NoSuchThread = 1094, "HY000";
    TableWithoutColumns = 1113, "42000";
    UnknownCharacterSet = 1115, "42000";
    /// Anything a user cannot mend by changing the statement.
    Unknown = 1105, "HY000";
    WrongValueCount = 1058, "21S01";
    FieldSpecifiedTwice = 1110, "42000";
    InvalidGroupFunction = 1111, "HY000";
    WrongValueCountOnRow = 1136, "21S01";
    UnknownTableInClause = 1109, "42S02";
    CutListOfGroup = 1260, "HY000";
    WrongColumnSpecifier = 1063, "42000";
    TooBigDisplayWidth = 1439, "42000";
    PrimaryKeyCannotBeNull = 1171, "42000";
    KeyDoesNotExist = 1176, "42000";
    CantRemoveAllColumns = 1090, "42000";
    CantDropColumnOrKey = 1091, "42000";
    WrongObject = 1347, "HY000";
    ViewSelectClause = 1350, "HY000";
    ViewSelectVariable = 1351, "HY000";
    /// The tables below a view are gone or changed, or its definer may not read them.
    InvalidView = 1356, "HY000";
    NoSuchDefiner = 1449, "HY000";
    ViewRecursion = 1462, "HY000";
    UnknownAuthorizationId = 3523, "HY000";
    RoleGrantedToItself = 3524, "HY000";
    RoleNotGranted = 3530, "HY000";
    AccountLocked = 3118, "HY000";
    CheckConstraintViolated = 3819, "HY000";
    CheckConstraintColumn = 3813, "HY000";
    CheckConstraintFunction = 3814, "HY000";
    CheckConstraintAutoIncrement = 3818, "HY000";
    CheckConstraintUnknownColumn = 3820, "HY000";
    DependentByCheckConstraint = 3959, "HY000";
    GeneratedColumnFunction = 3763, "HY000";
    GeneratedColumnValue = 3105, "HY000";
    GeneratedColumnNotPrior = 3107, "HY000";
    DependentByGeneratedColumn = 3108, "HY000";
    GeneratedColumnAutoIncrement = 3109, "HY000";
    DefaultExpressionFunction = 3770, "HY000";
    DuplicatedValueInType = 1291, "HY000";
    TooBigSet = 1097, "HY000";
    TableNotLockedForWrite = 1099, "HY000";
    TableNotLocked = 1100, "HY000";
    LockOrActiveTransaction = 1192, "HY000";
    ViewOfTemporaryTable = 1352, "HY000";
    CheckConstraintNotFound = 3821, "HY000";
    ForeignKeyColumns = 1239, "42000";
    ForeignKeyDuplicateName = 1826, "HY000";
    ForeignKeyColumnNeeded = 1828, "HY000";
    CheckConstraintDuplicateName = 3822, "HY000";
    NonUpdatableTable = 1288, "HY000";
    UnresolvedTableLock = 3568, "HY000";
    MixOfGroupFunctions = 1140, "42000";
    NoSuchGrant = 1141, "42000";
    IllegalGrantForTable = 1144, "42000";
    NoSuchTable = 1146, "42S02";
    NoSuchTableGrant = 1147, "42000";
    SyntaxError = 1149, "42000";
    PacketTooLarge = 1153, "08S01";
    PacketsOutOfOrder = 1156, "08S01";
    UnknownSystemVariable = 1193, "HY000";
    LockWaitTimeout = 1205, "HY000";
    WrongArguments = 1210, "HY000";
    UpdateWithoutKeyInSafeMode = 1175, "HY000";
    Deadlock = 1213, "40001";
    RecursionTooDeep = 3636, "HY000";
    WrongColumnsInSubquery = 1241, "21000";
    SubqueryMoreThanOneRow = 1242, "21000";
    UnknownStatementHandler = 1243, "HY000";
    DerivedTableNeedsAlias = 1248, "42000";
    ServerOffline = 1158, "08S01";
    WrongUsage = 1221, "HY000";
    WrongTypeForVariable = 1232, "42000";
    WrongValueForVariable = 1231, "42000";
    /// The variable has no global value.
    LocalVariable = 1228, "HY000";
    /// The variable has no value of a session.
    GlobalVariable = 1229, "HY000";
    VariableIsReadOnly = 1238, "HY000";
    UnknownExplainFormat = 1791, "HY000";
    NotSupportedYet = 1235, "42000";
    NotAllowedCommand = 1148, "42000";
    WarnTooFewRecords = 1261, "01000";
    WarnTooManyRecords = 1262, "01000";
    WarnNullToNotNull = 1263, "22004";
    OutOfRange = 1264, "22003";
    DataTruncated = 1265, "01000";
    InvalidUseOfNull = 1138, "22004";
    UnknownAlterAlgorithm = 1800, "HY000";
    UnknownAlterLock = 1801, "HY000";
    AlterNotSupported = 1845, "0A000";
    AlterNotSupportedReason = 1846, "0A000";
    UnsupportedOnGeneratedColumn = 3106, "HY000";
    IllegalMixOfCollations = 1267, "HY000";
    WrongValue = 1292, "22007";
    UnknownCollation = 1273, "HY000";
    CollationCharsetMismatch = 1253, "42000";
    InvalidCharacterString = 1300, "HY000";
    FunctionDoesNotExist = 1305, "42000";
    QueryInterrupted = 1317, "70100";
    NoDefaultForField = 1364, "HY000";
    DivisionByZero = 1365, "22012";
    IncorrectValue = 1366, "HY000";
    ManyKeys = 1391, "HY000";
    NoBinaryLogging = 1381, "HY000";
    CannotUser = 1396, "HY000";
    DataTooLong = 1406, "22001";
    CannotCreateUserWithGrant = 1410, "42000";
    TableDefinitionChanged = 1412, "HY000";
    CannotRevokeAll = 1269, "HY000";
    WrongStringLength = 1470, "HY000";
    TooManyPartitions = 1499, "HY000";
    NoParts = 1504, "HY000";
    WrongNumberOfArguments = 1582, "42000";
    InvalidDateTime = 1525, "HY000";
    NumericOverflow = 1690, "22003";
    OptionIgnored = 1618, "HY000";
    UnknownLocale = 1649, "HY000";
    ShortInitializationVector = 1882, "HY000";
    TooManyTables = 1116, "HY000";
    /// A statement nests too deeply.
    StackOverrun = 1436, "HY000";
    /// A statement means more than it may, however short its text is.
    CapacityExceeded = 3170, "HY000";
    TooLongIdent = 1059, "42000";
    WrongDatabaseName = 1102, "42000";
    WrongTableName = 1103, "42000";
    WrongColumnName = 1166, "42000";
    QueryTimeout = 3024, "HY000";
    NoSystemSchemaAccess = 3552, "HY000";
    LocalInfileDisabled = 3948, "42000";
    ReadOnlyTransaction = 1792, "25006";
    MustChangeIsolationOutsideTxn = 1568, "25001";
    CannotLockNow = 3572, "HY000";
    FileNotFound = 29, "HY000";
    CannotCreateFile = 1, "HY000";
    CannotWriteFile = 3, "HY000";
    FileExists = 1086, "HY000";
    OptionPreventsStatement = 1290, "HY000";
    WrongNumberOfColumns = 1222, "21000";
    TooManyRows = 1172, "42000";
    NoData = 1329, "02000";
    InvalidConditionNumber = 1758, "35000";
    NoTablesUsed = 1096, "HY000";
    WrongColumnList = 1353, "HY000";
    IllegalValueForType = 1367, "22007";
    UnknownTimeZone = 1298, "HY000";
    WarnAllowedPacketOverflowed = 1301, "HY000";
    TooBigScale = 1425, "42000";
    TooBigPrecision = 1426, "42000";
    ScaleAbovePrecision = 1427, "42000";
    OrderNotInDistinct = 3065, "HY000";
    WrongValueForFunction = 1411, "HY000";
    DatetimeFunctionOverflow = 1441, "22008";
    InvalidArgumentForLogarithm = 3020, "2201E";
    WindowNoSuchWindow = 3579, "HY000";
    WindowFrameStart = 3584, "HY000";
    WindowFrameEnd = 3585, "HY000";
    WindowRangeFrame = 3587, "HY000";
    WindowInvalidUse = 3593, "HY000";
    InvalidJsonText = 3140, "22032";
    InvalidJsonArgument = 3141, "22032";
    InvalidJsonPath = 3143, "42000";
    InvalidTypeForJson = 3146, "22032";
    InvalidJsonPathWildcard = 3149, "42000";
    JsonUsedAsKey = 3152, "42000";
    JsonVacuousPath = 3153, "42000";
    JsonBadOneOrAll = 3154, "42000";
    JsonTooDeep = 3157, "22032";
    JsonNullKey = 3158, "22032";
    InvalidJsonPathArrayCell = 3165, "42000";
    MissingJsonTableValue = 3665, "22035";
    WrongJsonTableValue = 3666, "2203F";
    TableFunctionNeedsAlias = 3667, "42000";
    LateralJoinType = 3668, "42000";
    JsonTableValueOutOfRange = 3669, "22003";
    TooManyNestedPaths = 3670, "42000";
    RegexpIllegalArgument = 3685, "HY000";
    RegexpIndexOutOfBounds = 3686, "HY000";
    RegexpSyntax = 3688, "HY000";
    RegexpMismatchedParenthesis = 3691, "HY000";
    RegexpUnclosedBracket = 3696, "HY000";
    RegexpTooBig = 3699, "HY000";
    NoOpenCursor = 1421, "HY000";
    KillDenied = 1095, "HY000";
    TableAccessDenied = 1142, "42000";
    ColumnAccessDenied = 1143, "42000";
    AccountBlocked = 3955, "HY000";
    SpecificAccessDenied = 1227, "42000";
    SessionVariableIsReadOnly = 1621, "HY000";
    SecureTransportRequired = 3159, "HY000";
    ClientInteractionTimeout = 4031, "HY000";
    UserLockWrongName = 3057, "42000";
    UserLockDeadlock = 3058, "HY000";
}

/// An error that reaches a client. `message` says what happened and, where it can, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub kind: ErrorKind,
    pub message: String,
    /// True if the same transaction, begun again, may succeed.
    pub retryable: bool,
}

impl SqlError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> SqlError {
        let retryable = matches!(
            kind,
            ErrorKind::Deadlock | ErrorKind::LockWaitTimeout | ErrorKind::TableDefinitionChanged
        );
        SqlError { kind, message: message.into(), retryable }
    }

    /// "Pando doesn't yet support 'what'", errno 1235.
    pub fn unsupported(what: impl fmt::Display) -> SqlError {
        SqlError::new(ErrorKind::NotSupportedYet, format!("Pando doesn't yet support '{what}'"))
    }

    /// A broken invariant of ours or a failure below: errno 1105.
    pub fn internal(what: impl fmt::Display) -> SqlError {
        SqlError::new(ErrorKind::Unknown, what.to_string())
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.kind.errno(), self.kind.sqlstate(), self.message)
    }
}

impl std::error::Error for SqlError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_unique_and_states_have_five_characters() {
        let mut seen = HashSet::new();
        for kind in ErrorKind::ALL {
            assert!(seen.insert(kind.errno()), "{kind:?} repeats {}", kind.errno());
            assert_eq!(kind.sqlstate().len(), 5, "{kind:?}");
        }
    }
}
