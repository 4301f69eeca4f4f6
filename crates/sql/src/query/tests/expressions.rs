//! Values and types of expressions: expression, MySQL's type, value as printed. Each is evaluated
//! twice: as a constant, and over the row of `t` with id 1 (or 3, under its own table).

use super::*;

/// `expression => type => value` a line; over the row of t with this id.
fn check(id: u32, table: &str) {
    let mut failures = Vec::new();
    for case in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = case.split(" => ").collect();
        let [expr, ty, value] = parts.as_slice() else { panic!("{case} is no case") };
        let text = format!("SELECT {expr} FROM t WHERE id = {id}");
        let bound = match bind(&text) {
            Ok(bound) => bound,
            Err(error) => {
                failures.push(format!("{expr}: {error}"));
                continue;
            }
        };
        let found = bound.columns[0].ty.to_string();
        if found != *ty {
            failures.push(format!("{expr}: type {found}, not {ty}"));
        }
        let plan = bound.plan.display_indent().to_string();
        match rows_of(bound) {
            Ok(rows) => {
                let printed = rows[0][0].as_str();
                let value = if *value == "''" { "" } else { value };
                if printed != value {
                    failures.push(format!("{expr}: {printed}, not {value}\n{plan}"));
                }
            }
            Err(error) => failures.push(format!("{expr}: {error}\n{plan}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn literals() {
    check(
        1,
        "
        1 => bigint => 1
        -9223372036854775808 => bigint => -9223372036854775808
        9223372036854775808 => bigint unsigned => 9223372036854775808
        18446744073709551616 => decimal(20,0) => 18446744073709551616
        1.50 => decimal(3,2) => 1.50
        .5 => decimal(1,1) => 0.5
        1e3 => double => 1000
        1.5e-20 => double => 1.5e-20
        'abc' => varchar(3) => abc
        \"abc\" => varchar(3) => abc
        'it''s' => varchar(4) => it's
        NULL => binary(0) => NULL
        TRUE => bigint => 1
        FALSE => bigint => 0
        x'4142' => binary(2) => AB
        DATE '2024-02-29' => date => 2024-02-29
        TIMESTAMP '2024-02-29 01:02:03' => datetime => 2024-02-29 01:02:03
        TIMESTAMP '2024-02-29 01:02:03.5' => datetime(1) => 2024-02-29 01:02:03.5
        TIME '10:20:30' => time => 10:20:30
        @x => bigint => 42
        @name => varchar(5) => pando
        @nothing => binary(0) => NULL
        @@autocommit => bigint => 1
        @@session.autocommit => bigint => 1
        @@global.version_comment => varchar(5) => Pando
        ",
    );
}

#[test]
fn integer_arithmetic() {
    check(
        1,
        "
        1+1 => bigint => 2
        a+1 => bigint => 11
        a-1 => bigint => 9
        a*a => bigint => 100
        -a => bigint => -10
        - -a => bigint => 10
        +a => int => 10
        u+1 => bigint unsigned => 8
        u-7 => bigint unsigned => 0
        7 DIV 2 => bigint => 3
        -7 DIV 2 => bigint => -3
        a DIV 3 => bigint => 3
        7 MOD 3 => bigint => 1
        -7 % 3 => bigint => -1
        a % 3 => bigint => 1
        MOD(a, 4) => bigint => 2
        a DIV 0 => bigint => NULL
        a % 0 => bigint => NULL
        1/0 => decimal(5,4) => NULL
        a/0 => decimal(14,4) => NULL
        1/3 => decimal(5,4) => 0.3333
        2/3 => decimal(5,4) => 0.6667
        -2/3 => decimal(5,4) => -0.6667
        a/4 => decimal(14,4) => 2.5000
        10/3*3 => decimal(7,4) => 10.0000
        a/3*100 => decimal(17,4) => 333.3333
        -(a/3)*3 => decimal(15,4) => -10.0000
        1/3+1/3+1/3 => decimal(7,4) => 1.0000
        1/3*3=1 => bigint => 1
        (1/3*3) DIV 1 => bigint => 0
        1/3*3e0 => double => 0.999999999
        id+NULL => bigint => NULL
        5 DIV 2.5 => bigint => 2
        9223372036854775807 - 1 => bigint => 9223372036854775806
        18446744073709551615 - 1 => bigint unsigned => 18446744073709551614
        5 & 3 => bigint unsigned => 1
        5 | 3 => bigint unsigned => 7
        5 ^ 3 => bigint unsigned => 6
        1 << 4 => bigint unsigned => 16
        256 >> 4 => bigint unsigned => 16
        1 << 64 => bigint unsigned => 0
        ~0 => bigint unsigned => 18446744073709551615
        a & 6 => bigint unsigned => 2
        -1 & 255 => bigint unsigned => 255
        ",
    );
}

#[test]
fn decimal_and_float_arithmetic() {
    check(
        1,
        "
        0.1+0.2 => decimal(2,1) => 0.3
        1.10+2.205 => decimal(5,3) => 3.305
        1.5*1.5 => decimal(4,2) => 2.25
        1-0.05 => decimal(4,2) => 0.95
        d+1 => decimal(16,2) => 124.45
        d*2 => decimal(16,2) => 246.90
        d*(1-0.05) => decimal(19,4) => 117.2775
        d/3 => decimal(19,6) => 41.150000
        d/7*7 => decimal(20,6) => 123.450000
        1.00/3 => decimal(7,6) => 0.333333
        10.0/4 => decimal(7,5) => 2.50000
        d%100 => decimal(15,2) => 23.45
        10.5 MOD 3 => decimal(3,1) => 1.5
        d DIV 10 => bigint => 12
        -d => decimal(15,2) => -123.45
        x+1 => double => 2.5
        x/4 => double => 0.375
        x*d => double => 185.175
        x DIV 1 => bigint => 1
        x % 1 => double => 0.5
        x/0 => double => NULL
        1e0+1 => double => 2
        '5'+1 => double => 6
        '5abc'*2 => double => 10
        s+0 => double => 0
        '1.5'+'2.5' => double => 4
        d+x => double => 124.95
        0.1e0+0.2e0 => double => 0.30000000000000004
        99999999999999999999.5+0.5 => decimal(22,1) => 100000000000000000000.0
        1.0/7 => decimal(6,5) => 0.14286
        ",
    );
}

#[test]
fn comparisons() {
    check(
        1,
        "
        1=1 => bigint => 1
        1<>1 => bigint => 0
        1!=2 => bigint => 1
        a=10 => bigint => 1
        a='10' => bigint => 1
        a='10x' => bigint => 1
        a=10.0 => bigint => 1
        a=10.5 => bigint => 0
        a>9.5 => bigint => 1
        a<10.5 => bigint => 1
        a>=10.5 => bigint => 0
        10=a => bigint => 1
        9.5<a => bigint => 1
        a=9999999999999 => bigint => 0
        a<9999999999999 => bigint => 1
        u=7 => bigint => 1
        u>-1 => bigint => 1
        d=123.45 => bigint => 1
        d=123.450 => bigint => 1
        d>123.449 => bigint => 1
        d='123.45' => bigint => 1
        d=x => bigint => 0
        x=1.5 => bigint => 1
        s='Hello' => bigint => 1
        s='hello' => bigint => 0
        s=0 => bigint => 1
        s>'A' => bigint => 1
        day='2024-02-29' => bigint => 1
        day='2024-2-29' => bigint => 1
        day=20240229 => bigint => 1
        day>'2024-02-28 12:00:00' => bigint => 1
        day<'2024-02-29 00:00:01' => bigint => 1
        day=DATE '2024-02-29' => bigint => 1
        day=at => bigint => 0
        at>day => bigint => 1
        at='2024-02-29 10:20:30' => bigint => 1
        at>'2024-02-29' => bigint => 1
        stamp='2024-02-29 10:20:30' => bigint => 1
        stamp=at => bigint => 1
        clock='10:20:30' => bigint => 1
        clock>'9:00' => bigint => 1
        NULL=1 => bigint => NULL
        a=NULL => bigint => NULL
        NULL<=>NULL => bigint => 1
        a<=>NULL => bigint => 0
        a<=>10 => bigint => 1
        a IS NULL => bigint => 0
        a IS NOT NULL => bigint => 1
        NULL IS NULL => bigint => 1
        a BETWEEN 1 AND 10 => bigint => 1
        a NOT BETWEEN 1 AND 9.5 => bigint => 1
        d BETWEEN 100 AND 123.4 => bigint => 0
        day BETWEEN '2024-01-01' AND '2024-12-31' => bigint => 1
        a IN (1,10) => bigint => 1
        a IN (1,2.5,'10') => bigint => 1
        a IN (1,NULL) => bigint => NULL
        a NOT IN (1,2) => bigint => 1
        a NOT IN (1,NULL) => bigint => NULL
        s IN ('x','Hello') => bigint => 1
        5 IN (a, 5) => bigint => 1
        day IN ('2024-02-29','2024-03-01') => bigint => 1
        (1,2)=(1,2) => bigint => 1
        (1,2)<(1,3) => bigint => 1
        (a,u) IN ((1,2),(10,7)) => bigint => 1
        (1,2)<>(1,2) => bigint => 0
        (a=10)=1 => bigint => 1
        (a=10)+1 => bigint => 2
        (a=10)=TRUE => bigint => 1
        ",
    );
}

#[test]
fn logic() {
    check(
        1,
        "
        1 AND 1 => bigint => 1
        1 AND 0 => bigint => 0
        a AND 1 => bigint => 1
        NULL AND 1 => bigint => NULL
        NULL AND 0 => bigint => 0
        1 OR NULL => bigint => 1
        0 OR NULL => bigint => NULL
        0 || 1 => bigint => 1
        1 && 1 => bigint => 1
        NOT a => bigint => 0
        NOT 0 => bigint => 1
        !0 => bigint => 1
        NOT NULL => bigint => NULL
        1 XOR 1 => bigint => 0
        1 XOR 0 => bigint => 1
        1 XOR NULL => bigint => NULL
        'a' AND 1 => bigint => 0
        '1' AND 1 => bigint => 1
        d AND 1 => bigint => 1
        x IS TRUE => bigint => 1
        0 IS FALSE => bigint => 1
        NULL IS UNKNOWN => bigint => 1
        NULL IS NOT TRUE => bigint => 1
        s LIKE 'H%' => bigint => 1
        s LIKE 'h%' => bigint => 0
        s LIKE '_ello' => bigint => 1
        s NOT LIKE '%x%' => bigint => 1
        'a%b' LIKE 'a\\\\%b' => bigint => 1
        'axb' LIKE 'a\\\\%b' => bigint => 0
        'a%b' LIKE 'a|%b' ESCAPE '|' => bigint => 1
        'axb' LIKE 'a|%b' ESCAPE '|' => bigint => 0
        s LIKE NULL => bigint => NULL
        s LIKE CONCAT('H','%') => bigint => 1
        12 LIKE '1%' => bigint => 1
        s REGEXP '^H.*o$' => bigint => 1
        s RLIKE 'x' => bigint => 0
        s NOT REGEXP 'x' => bigint => 1
        REGEXP_LIKE(s, 'l+') => bigint => 1
        ",
    );
}

#[test]
fn control_flow() {
    check(
        1,
        "
        IF(a=10, 'yes', 'no') => varchar(3) => yes
        IF(NULL, 1, 2) => bigint => 2
        IF(a, 1.5, 2) => decimal(2,1) => 1.5
        IF(0, 'a', 1) => varchar(1) => 1
        IF(1, NULL, 5) => bigint => NULL
        IFNULL(NULL, 5) => bigint => 5
        IFNULL(a, 0) => bigint => 10
        IFNULL(d, 0) => decimal(15,2) => 123.45
        NULLIF(1, 1) => bigint => NULL
        NULLIF(a, 5) => int => 10
        COALESCE(NULL, NULL, 3) => bigint => 3
        COALESCE(NULL, 'x') => varchar(1) => x
        COALESCE(s, 'none') => varchar(20) => Hello
        CASE WHEN a > 5 THEN 'big' WHEN a > 0 THEN 'small' ELSE 'neg' END => varchar(5) => big
        CASE a WHEN 10 THEN 1 ELSE 0 END => bigint => 1
        CASE WHEN 0 THEN 1 END => bigint => NULL
        CASE WHEN 1 THEN 1 ELSE 2.5 END => decimal(2,1) => 1.0
        CASE WHEN 1 THEN x ELSE 1 END => double => 1.5
        CASE WHEN 1 THEN day ELSE at END => datetime => 2024-02-29 00:00:00
        CASE WHEN 1 THEN day END => date => 2024-02-29
        CASE WHEN 1 THEN day ELSE 'x' END => varchar(10) => 2024-02-29
        CASE WHEN a=10 THEN a=10 ELSE a=11 END => bigint => 1
        GREATEST(1, 3, 2) => bigint => 3
        LEAST(1, 3, 2) => bigint => 1
        GREATEST(1, NULL) => bigint => NULL
        GREATEST(1, 2.5) => decimal(2,1) => 2.5
        LEAST('b', 'a') => varchar(1) => a
        GREATEST(a, u) => bigint => 10
        ISNULL(NULL) => bigint => 1
        ISNULL(a) => bigint => 0
        ",
    );
}

#[test]
fn casts() {
    check(
        1,
        "
        CAST('12' AS SIGNED) => bigint => 12
        CAST('12.9' AS SIGNED) => bigint => 12
        CAST(12.5 AS SIGNED) => bigint => 13
        CAST(-12.5 AS SIGNED) => bigint => -13
        CAST(-1 AS UNSIGNED) => bigint unsigned => 18446744073709551615
        CAST('abc' AS SIGNED) => bigint => 0
        CAST(1.999 AS DECIMAL(10,2)) => decimal(10,2) => 2.00
        CAST('1.555' AS DECIMAL(10,2)) => decimal(10,2) => 1.56
        CAST(1e10 AS DECIMAL(5,2)) => decimal(5,2) => 999.99
        CAST(a AS DECIMAL(12,3)) => decimal(12,3) => 10.000
        CAST(5 AS DECIMAL) => decimal(10,0) => 5
        CAST(a AS CHAR) => varchar(11) => 10
        CAST('hello' AS CHAR(3)) => varchar(3) => hel
        CAST(d AS CHAR) => varchar(17) => 123.45
        CAST(x AS CHAR) => varchar(22) => 1.5
        CAST(at AS CHAR) => varchar(19) => 2024-02-29 10:20:30
        CAST('2024-01-05' AS DATE) => date => 2024-01-05
        CAST('2024-01-05 10:11:12' AS DATE) => date => 2024-01-05
        CAST('nonsense' AS DATE) => date => NULL
        CAST(20240105 AS DATE) => date => 2024-01-05
        CAST('2024-01-05 10:11:12.6' AS DATETIME) => datetime => 2024-01-05 10:11:13
        CAST('2024-01-05 10:11:12.6' AS DATETIME(3)) => datetime(3) => 2024-01-05 10:11:12.600
        CAST(day AS DATETIME) => datetime => 2024-02-29 00:00:00
        CAST(at AS DATE) => date => 2024-02-29
        CAST(at AS TIME) => time => 10:20:30
        CAST('10:11' AS TIME) => time => 10:11:00
        CAST(day AS SIGNED) => bigint => 20240229
        CAST(at AS SIGNED) => bigint => 20240229102030
        CAST('1e2' AS DOUBLE) => double => 100
        CAST(1.5 AS FLOAT) => float => 1.5
        CAST('abc' AS BINARY) => varbinary(12) => abc
        CAST(1=1 AS CHAR) => varchar(1) => 1
        CONVERT('12', SIGNED) => bigint => 12
        CONVERT(12, CHAR) => varchar(2) => 12
        CONVERT('x' USING utf8mb4) => varchar(1) => x
        BINARY 'a' = 'a' => bigint => 1
        day+0 => bigint => 20240229
        at+0 => bigint => 20240229102030
        clock+0 => bigint => 102030
        CAST(TRUE AS UNSIGNED) => bigint unsigned => 1
        ",
    );
}

#[test]
fn strings() {
    check(
        1,
        "
        CONCAT('a', 1, 2.5) => varchar(6) => a12.5
        CONCAT('a', NULL) => varchar(1) => NULL
        CONCAT(s, '!') => varchar(21) => Hello!
        CONCAT_WS(',', 'a', NULL, 'b') => varchar(4) => a,b
        CONCAT_WS(NULL, 'a') => varchar(1) => NULL
        SUBSTRING('Quadratically', 5) => varchar(13) => ratically
        SUBSTRING('Quadratically', 5, 6) => varchar(6) => ratica
        SUBSTRING('Sakila', -3) => varchar(6) => ila
        SUBSTRING('Sakila', -5, 3) => varchar(3) => aki
        SUBSTRING('Sakila' FROM -4 FOR 2) => varchar(2) => ki
        SUBSTRING('foobarbar' FROM 4) => varchar(9) => barbar
        SUBSTRING('abc', 0) => varchar(3) => ''
        SUBSTR(s, 2, 3) => varchar(3) => ell
        MID(s, 1, 1) => varchar(1) => H
        LEFT(s, 2) => varchar(2) => He
        RIGHT(s, 2) => varchar(2) => lo
        LEFT('äöü', 2) => varchar(2) => äö
        RIGHT('äöü', 1) => varchar(1) => ü
        LENGTH('äb') => bigint => 3
        CHAR_LENGTH('äb') => bigint => 2
        OCTET_LENGTH('ab') => bigint => 2
        BIT_LENGTH('ab') => bigint => 16
        LENGTH(NULL) => bigint => NULL
        LENGTH(a) => bigint => 2
        UPPER(s) => varchar(20) => HELLO
        LCASE('ÄB') => varchar(2) => äb
        TRIM('  a ') => varchar(4) => a
        CONCAT(LTRIM('  a '), '.') => varchar(5) => a .
        CONCAT('.', RTRIM('  a ')) => varchar(5) => .  a
        TRIM(LEADING 'x' FROM 'xxaxx') => varchar(5) => axx
        TRIM(TRAILING 'x' FROM 'xxaxx') => varchar(5) => xxa
        TRIM(BOTH 'x' FROM 'xxaxx') => varchar(5) => a
        TRIM('xy' FROM 'xyaxy') => varchar(5) => a
        LPAD('hi', 4, '?!') => varchar(4) => ?!hi
        RPAD('hi', 5, '?') => varchar(5) => hi???
        LPAD('hello', 2, '?') => varchar(2) => he
        LPAD('a', -1, 'x') => varchar(0) => NULL
        REPLACE('www.x.com', 'w', 'Ww') => varchar(18) => WwWwWw.x.com
        REPEAT('ab', 3) => varchar(6) => ababab
        REPEAT('ab', -1) => varchar(0) => ''
        REVERSE('abc') => varchar(3) => cba
        LOCATE('bar', 'foobarbar') => bigint => 4
        LOCATE('bar', 'foobarbar', 5) => bigint => 7
        LOCATE('x', 'foo') => bigint => 0
        INSTR('foobarbar', 'bar') => bigint => 4
        POSITION('b' IN 'abc') => bigint => 2
        ASCII('A') => bigint => 65
        ASCII('') => bigint => 0
        ORD('ä') => bigint => 50084
        CHAR(77, 121) => varbinary(8) => My
        HEX('abc') => varchar(24) => 616263
        HEX(255) => varchar(16) => FF
        HEX(-1) => varchar(16) => FFFFFFFFFFFFFFFF
        UNHEX('4142') => varbinary(3) => AB
        UNHEX('xy') => varbinary(2) => NULL
        BIN(12) => varchar(64) => 1100
        OCT(12) => varchar(64) => 14
        CONV('a', 16, 2) => varchar(65) => 1010
        CONV(-17, 10, -18) => varchar(65) => -H
        FIELD('b', 'a', 'b') => bigint => 2
        FIELD(3, 1, 2, 3) => bigint => 3
        FIELD(NULL, 'a') => bigint => 0
        ELT(2, 'a', 'b') => varchar(1) => b
        ELT(5, 'a', 'b') => varchar(1) => NULL
        FIND_IN_SET('b', 'a,b,c') => bigint => 2
        FIND_IN_SET('x', 'a,b,c') => bigint => 0
        SUBSTRING_INDEX('www.mysql.com', '.', 2) => varchar(13) => www.mysql
        SUBSTRING_INDEX('www.mysql.com', '.', -2) => varchar(13) => mysql.com
        STRCMP('a', 'b') => bigint => -1
        STRCMP('b', 'b') => bigint => 0
        FORMAT(12332.123456, 4) => varchar(49) => 12,332.1235
        FORMAT(12332.2, 0) => varchar(42) => 12,332
        FORMAT(-1234567, 2) => varchar(42) => -1,234,567.00
        CONCAT(SPACE(3), 'x') => varchar(4) =>    x
        INSERT('Quadratic', 3, 4, 'What') => varchar(13) => QuWhattic
        QUOTE('Don\\'t') => varchar(12) => 'Don\\'t'
        SOUNDEX('Hello') => varchar(5) => H400
        MD5('abc') => varchar(32) => 900150983cd24fb0d6963f7d28e17f72
        SHA1('abc') => varchar(40) => a9993e364706816aba3e25717850c26c9cd0d89d
        SHA2('abc', 224) => varchar(128) => 23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7
        CRC32('MySQL') => bigint => 3259397556
        TO_BASE64('abc') => varchar(24) => YWJj
        FROM_BASE64('YWJj') => varbinary(4) => abc
        BIT_COUNT(29) => bigint => 4
        LOWER(UPPER(s)) => varchar(20) => hello
        ",
    );
}

#[test]
fn mathematics() {
    check(
        1,
        "
        ABS(-5) => bigint => 5
        ABS(-5.5) => decimal(2,1) => 5.5
        ABS(d) => decimal(15,2) => 123.45
        ABS('-3') => double => 3
        CEIL(1.2) => bigint => 2
        CEILING(-1.2) => bigint => -1
        FLOOR(1.8) => bigint => 1
        FLOOR(-1.2) => bigint => -2
        FLOOR(x) => double => 1
        CEIL(5) => bigint => 5
        FLOOR(d) => bigint => 123
        ROUND(2.5) => decimal(2,0) => 3
        ROUND(-2.5) => decimal(2,0) => -3
        ROUND(1.298, 1) => decimal(3,1) => 1.3
        ROUND(1.298, 5) => decimal(5,3) => 1.298
        ROUND(d, 1) => decimal(15,1) => 123.5
        ROUND(d, -1) => decimal(14,0) => 120
        ROUND(15, -1) => bigint => 20
        ROUND(2.5e0) => double => 2
        ROUND(1.255e0, 2) => double => 1.25
        TRUNCATE(1.999, 1) => decimal(3,1) => 1.9
        TRUNCATE(-1.999, 1) => decimal(3,1) => -1.9
        TRUNCATE(122, -2) => bigint => 100
        SIGN(-3) => bigint => -1
        SIGN(0) => bigint => 0
        SIGN(d) => bigint => 1
        POW(2, 10) => double => 1024
        POWER(2, -1) => double => 0.5
        SQRT(16) => double => 4
        SQRT(-1) => double => NULL
        EXP(0) => double => 1
        LN(1) => double => 0
        LN(0) => double => NULL
        LOG(1) => double => 0
        LOG(2, 8) => double => 3
        LOG2(8) => double => 3
        LOG10(1000) => double => 3
        PI() => double => 3.141592653589793
        SIN(0) => double => 0
        COS(0) => double => 1
        ATAN2(0, 1) => double => 0
        DEGREES(PI()) => double => 180
        RADIANS(180) => double => 3.141592653589793
        ACOS(2) => double => NULL
        RAND() >= 0 AND RAND() < 1 => bigint => 1
        LENGTH(UUID()) => bigint => 36
        ",
    );
}

#[test]
fn dates() {
    check(
        1,
        "
        YEAR(day) => bigint => 2024
        YEAR('1998-12-01') => bigint => 1998
        MONTH(day) => bigint => 2
        DAY(day) => bigint => 29
        DAYOFMONTH(at) => bigint => 29
        DAYOFWEEK(day) => bigint => 5
        WEEKDAY(day) => bigint => 3
        DAYOFYEAR(day) => bigint => 60
        QUARTER(day) => bigint => 1
        WEEK(day) => bigint => 8
        WEEK('2008-02-20', 1) => bigint => 8
        YEARWEEK('1987-01-01') => bigint => 198652
        WEEKOFYEAR('2008-02-20') => bigint => 8
        HOUR(at) => bigint => 10
        MINUTE(at) => bigint => 20
        SECOND(at) => bigint => 30
        HOUR('272:59:59') => bigint => 272
        MICROSECOND('12:00:00.123456') => bigint => 123456
        DATE(at) => date => 2024-02-29
        TIME(at) => time => 10:20:30
        EXTRACT(YEAR FROM day) => bigint => 2024
        EXTRACT(YEAR_MONTH FROM day) => bigint => 202402
        EXTRACT(DAY_MINUTE FROM at) => bigint => 291020
        EXTRACT(HOUR FROM at) => bigint => 10
        DAYNAME(day) => varchar(9) => Thursday
        MONTHNAME(day) => varchar(9) => February
        LAST_DAY('2023-02-05') => date => 2023-02-28
        DATE_FORMAT(at, '%Y/%m/%d %H:%i') => varchar(140) => 2024/02/29 10:20
        DATE_FORMAT('2009-10-04', '%W %M %Y') => varchar(80) => Sunday October 2009
        TIME_FORMAT('100:00:00', '%H %k %h') => varchar(80) => 100 100 04
        STR_TO_DATE('01,5,2013', '%d,%m,%Y') => date => 2013-05-01
        STR_TO_DATE('2013-05-01 10:11', '%Y-%m-%d %H:%i') => datetime => 2013-05-01 10:11:00
        STR_TO_DATE('a', '%Y') => date => NULL
        STR_TO_DATE('09:30:17', '%H:%i:%s') => time => 09:30:17
        DATE_ADD(day, INTERVAL 1 DAY) => date => 2024-03-01
        DATE_SUB(day, INTERVAL 1 YEAR) => date => 2023-02-28
        ADDDATE(day, 31) => date => 2024-03-31
        SUBDATE(day, INTERVAL 1 MONTH) => date => 2024-01-29
        day + INTERVAL 1 MONTH => date => 2024-03-29
        INTERVAL 1 DAY + day => date => 2024-03-01
        day - INTERVAL 1 HOUR => datetime => 2024-02-28 23:00:00
        at + INTERVAL '1:30' MINUTE_SECOND => datetime => 2024-02-29 10:22:00
        at + INTERVAL 1 WEEK => datetime => 2024-03-07 10:20:30
        DATE '1998-12-01' - INTERVAL '90' DAY => date => 1998-09-02
        '2024-01-31' + INTERVAL 1 MONTH => varchar(26) => 2024-02-29
        '2024-01-31 10:00:00' + INTERVAL 1 SECOND => varchar(26) => 2024-01-31 10:00:01
        clock + INTERVAL 1 MINUTE => time => 10:21:30
        day + INTERVAL a DAY => date => 2024-03-10
        DATEDIFF('2007-12-31 23:59:59', '2007-12-30') => bigint => 1
        DATEDIFF(day, at) => bigint => 0
        TIMESTAMPDIFF(MONTH, '2003-02-01', '2003-05-01') => bigint => 3
        TIMESTAMPDIFF(YEAR, '2002-05-01', '2001-01-01') => bigint => -1
        TIMESTAMPADD(MINUTE, 1, at) => datetime => 2024-02-29 10:21:30
        TIMEDIFF('10:00:00', '09:30:00') => time => 00:30:00
        TIMEDIFF(at, '2024-02-29 09:20:30') => time => 01:00:00
        ADDTIME('10:00:00', '01:30:00') => varchar(26) => 11:30:00
        SUBTIME(at, '00:00:30') => datetime => 2024-02-29 10:20:00
        TIME_TO_SEC('01:00:01') => bigint => 3601
        SEC_TO_TIME(3601) => time => 01:00:01
        MAKEDATE(2011, 32) => date => 2011-02-01
        MAKEDATE(2011, 0) => date => NULL
        MAKETIME(12, 15, 30) => time => 12:15:30
        TO_DAYS('2007-10-07') => bigint => 733321
        FROM_DAYS(733321) => date => 2007-10-07
        TO_SECONDS('2009-11-29') => bigint => 63426672000
        PERIOD_ADD(200801, 2) => bigint => 200803
        PERIOD_DIFF(200802, 200703) => bigint => 11
        FROM_UNIXTIME(1447430881) => datetime => 2015-11-13 16:08:01
        FROM_UNIXTIME(1447430881, '%Y') => varchar(20) => 2015
        UNIX_TIMESTAMP('2015-11-13 16:08:01') => bigint => 1447430881
        UNIX_TIMESTAMP() => bigint => 1714979289
        CONVERT_TZ('2004-01-01 12:00:00', '+00:00', '+10:00') => datetime => 2004-01-01 22:00:00
        CONVERT_TZ('2004-07-01 12:00:00', 'UTC', 'Europe/Berlin') => datetime => 2004-07-01 14:00:00
        NOW() => datetime => 2024-05-06 07:08:09
        NOW(6) => datetime(6) => 2024-05-06 07:08:09.123456
        CURRENT_TIMESTAMP => datetime => 2024-05-06 07:08:09
        CURDATE() => date => 2024-05-06
        CURRENT_DATE => date => 2024-05-06
        CURTIME() => time => 07:08:09
        UTC_TIMESTAMP => datetime => 2024-05-06 07:08:09
        YEAR(NULL) => bigint => NULL
        YEAR('nonsense') => bigint => NULL
        day - 1 => bigint => 20240228
        stamp => timestamp => 2024-02-29 10:20:30
        HOUR(stamp) => bigint => 10
        ",
    );
}

#[test]
fn information() {
    check(
        1,
        "
        DATABASE() => varchar(1) => d
        SCHEMA() => varchar(1) => d
        USER() => varchar(14) => root@localhost
        CURRENT_USER() => varchar(6) => root@%
        CURRENT_USER => varchar(6) => root@%
        VERSION() => varchar(18) => 8.0.36-Pando-0.1.0
        CONNECTION_ID() => bigint unsigned => 9
        LAST_INSERT_ID() => bigint unsigned => 5
        ROW_COUNT() => bigint => -1
        FOUND_ROWS() => bigint unsigned => 2
        CHARSET('a') => varchar(7) => utf8mb4
        COLLATION('a') => varchar(11) => utf8mb4_bin
        ",
    );
}

#[test]
fn null_rows() {
    check(
        2,
        "
        a+1 => bigint => NULL
        d*2 => decimal(16,2) => NULL
        x+1 => double => NULL
        a IS NULL => bigint => 1
        a<=>NULL => bigint => 1
        a=10 => bigint => NULL
        a=10.5 => bigint => NULL
        a IN (10) => bigint => NULL
        NOT a => bigint => NULL
        a AND 0 => bigint => 0
        CONCAT(s, 'x') => varchar(21) => NULL
        CONCAT_WS('-', s, 'x') => varchar(22) => x
        COALESCE(s, 'none') => varchar(20) => none
        IFNULL(a, 0) => bigint => 0
        UPPER(s) => varchar(20) => NULL
        YEAR(day) => bigint => NULL
        day + INTERVAL 1 DAY => date => NULL
        GREATEST(a, 1) => bigint => NULL
        a/2 => decimal(14,4) => NULL
        CASE WHEN a THEN 1 ELSE 0 END => bigint => 0
        CAST(a AS CHAR) => varchar(11) => NULL
        s LIKE '%' => bigint => NULL
        HEX(s) => varchar(160) => NULL
        ABS(a) => bigint => NULL
        ROUND(d) => decimal(14,0) => NULL
        HOUR(clock) => bigint => NULL
        ",
    );
}

#[test]
fn negative_rows() {
    check(
        3,
        "
        -a => bigint => 3
        ABS(a) => bigint => 3
        a DIV 2 => bigint => -1
        a % 2 => bigint => -1
        a/2 => decimal(14,4) => -1.5000
        u+0 => bigint unsigned => 4000000000
        u=4000000000 => bigint => 1
        d => decimal(15,2) => -0.50
        d*d => decimal(30,4) => 0.2500
        ROUND(d) => decimal(14,0) => -1
        TRUNCATE(d, 0) => decimal(14,0) => 0
        FLOOR(d) => bigint => -1
        CEIL(d) => bigint => 0
        s+1 => double => 13
        s=12 => bigint => 1
        clock => time => -01:00:00
        HOUR(clock) => bigint => 1
        CAST(clock AS CHAR) => varchar(10) => -01:00:00
        day < '1998-12-02' => bigint => 1
        d IN (-0.5, 1) => bigint => 1
        a IN (-3) => bigint => 1
        x => double => -0.25
        ",
    );
}
