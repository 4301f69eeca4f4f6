//! Users and their rights.

use super::reader::{Read, Reader, unsupported};
use crate::statement::*;
use sqlparser::tokenizer::Token;

/// Rights that GRANT may name, longest first where one begins another.
const PRIVILEGES: &[&[&str]] = &[
    &["ALTER", "ROUTINE"],
    &["ALTER"],
    &["CREATE", "TEMPORARY", "TABLES"],
    &["CREATE", "TABLESPACE"],
    &["CREATE", "ROUTINE"],
    &["CREATE", "ROLE"],
    &["CREATE", "USER"],
    &["CREATE", "VIEW"],
    &["CREATE"],
    &["DELETE"],
    &["DROP", "ROLE"],
    &["DROP"],
    &["EVENT"],
    &["EXECUTE"],
    &["FILE"],
    &["GRANT", "OPTION"],
    &["INDEX"],
    &["INSERT"],
    &["LOCK", "TABLES"],
    &["PROCESS"],
    &["REFERENCES"],
    &["RELOAD"],
    &["REPLICATION", "CLIENT"],
    &["REPLICATION", "SLAVE"],
    &["SELECT"],
    &["SHOW", "DATABASES"],
    &["SHOW", "VIEW"],
    &["SHUTDOWN"],
    &["SUPER"],
    &["TRIGGER"],
    &["UPDATE"],
    &["USAGE"],
];

/// What FAILED_LOGIN_ATTEMPTS and PASSWORD_LOCK_TIME may be at most, as in MySQL.
const MOST_DAYS_OR_ATTEMPTS: u16 = 32767;

/// What GRANT and REVOKE name before ON.
#[derive(Default)]
struct NamedPrivileges {
    words: Vec<String>,
    of_columns: Vec<(String, Vec<String>)>,
}

impl Reader<'_> {
    /// 'user'@'host', user, CURRENT_USER[()].
    pub(super) fn account(&mut self) -> Read<Account> {
        if self.eat("CURRENT_USER") || (self.is("USER") && *self.peek_nth(1) == Token::LParen) {
            self.eat("USER");
            if self.eat_token(&Token::LParen) {
                self.expect_token(&Token::RParen)?;
            }
            return Ok(Account { user: String::new(), host: String::new(), current: true });
        }
        let user = match self.peek() {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => self.text()?,
            _ => self.name()?,
        };
        let host = match self.peek() {
            Token::Word(word) if word.quote_style.is_none() && word.value.starts_with('@') => {
                let host = word.value[1..].to_string();
                self.parser.advance_token();
                host
            }
            _ => "%".to_string(),
        };
        if host.is_empty() {
            return self.expected("a host");
        }
        Ok(Account { user, host, current: false })
    }

    fn user_spec(&mut self) -> Read<UserSpec> {
        let mut spec = UserSpec { account: self.account()?, plugin: None, password: None };
        if !self.eat("IDENTIFIED") {
            return Ok(spec);
        }
        if self.eat("WITH") {
            spec.plugin = Some(self.name_or_text()?);
            if self.eat("AS") {
                spec.password = Some(Password::Hash(self.text()?));
                return Ok(spec);
            }
            if !self.eat("BY") {
                return Ok(spec);
            }
        } else {
            self.expect("BY")?;
        }
        if self.is("RANDOM") {
            return unsupported("IDENTIFIED BY RANDOM PASSWORD");
        }
        if self.eat("PASSWORD") {
            spec.password = Some(Password::Hash(self.text()?));
        } else {
            spec.password = Some(Password::Plain(self.text()?));
        }
        if self.is("REPLACE") || self.is("RETAIN") {
            return unsupported("REPLACE and RETAIN of passwords");
        }
        Ok(spec)
    }

    /// REQUIRE, ACCOUNT and the limits of wrong passwords, behind the accounts that they are about.
    fn user_options(&mut self) -> Read<UserOptions> {
        let mut options = UserOptions::default();
        loop {
            if self.eat("REQUIRE") {
                options.requires_tls = match self.eat_one_of(&["NONE", "SSL"]) {
                    Some(word) => Some(word == "SSL"),
                    None if ["X509", "ISSUER", "SUBJECT", "CIPHER"].iter().any(|word| self.is(word)) => {
                        return unsupported("REQUIRE of a certificate");
                    }
                    None => return self.expected("SSL or NONE"),
                };
            } else if self.eat("ACCOUNT") {
                options.locked = match self.eat_one_of(&["LOCK", "UNLOCK"]) {
                    Some(word) => Some(word == "LOCK"),
                    None => return self.expected("LOCK or UNLOCK"),
                };
            } else if self.eat("FAILED_LOGIN_ATTEMPTS") {
                options.failed_login_attempts = Some(self.days_or_attempts()?);
            } else if self.eat("PASSWORD_LOCK_TIME") {
                let is_unbounded = self.eat("UNBOUNDED");
                let days = if is_unbounded { None } else { Some(self.days_or_attempts()?) };
                options.password_lock_time = Some(days);
            } else if self.eat("PASSWORD") {
                self.password_rule()?;
            } else {
                self.no_user_options()?;
                return Ok(options);
            }
        }
    }

    /// A rule of passwords, after PASSWORD: taken where it says what holds anyway, that there is none.
    fn password_rule(&mut self) -> Read<()> {
        const NO_RULES: &[&[&str]] = &[
            &["EXPIRE", "DEFAULT"],
            &["EXPIRE", "NEVER"],
            &["HISTORY", "DEFAULT"],
            &["REUSE", "INTERVAL", "DEFAULT"],
            &["REQUIRE", "CURRENT", "DEFAULT"],
            &["REQUIRE", "CURRENT", "OPTIONAL"],
        ];
        if NO_RULES.iter().any(|words| self.eat_all(words)) {
            return Ok(());
        }
        match self.any_word() {
            Ok(word) => unsupported(&format!("PASSWORD {}", word.to_ascii_uppercase())),
            Err(error) => Err(error),
        }
    }

    /// A number as far as MySQL lets these options go.
    fn days_or_attempts(&mut self) -> Read<u16> {
        let Token::Number(digits, _) = self.peek() else { return self.expected("an integer") };
        match digits.parse::<u16>().ok().filter(|number| *number <= MOST_DAYS_OR_ATTEMPTS) {
            Some(number) => {
                self.parser.advance_token();
                Ok(number)
            }
            None => self.expected(&format!("a number up to {MOST_DAYS_OR_ATTEMPTS}")),
        }
    }

    fn no_user_options(&self) -> Read<()> {
        match self.peek() {
            Token::Word(word) => {
                let word = word.value.to_ascii_uppercase();
                match word.as_str() {
                    "WITH" | "COMMENT" | "ATTRIBUTE" | "DEFAULT" | "DISCARD" | "AND" => {
                        unsupported(&format!("the user option {word}"))
                    }
                    _ => self.expected("the end of the statement"),
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn create_user(&mut self) -> Read<Statement> {
        let if_not_exists = self.if_not_exists();
        let users = self.list(Self::user_spec)?;
        let options = self.user_options()?;
        Ok(Statement::CreateUser { users, if_not_exists, options })
    }

    pub(super) fn alter_user(&mut self) -> Read<Statement> {
        let if_exists = self.if_exists();
        let users = self.list(Self::user_spec)?;
        let options = self.user_options()?;
        Ok(Statement::AlterUser { users, if_exists, options })
    }

    pub(super) fn drop_user(&mut self) -> Read<Statement> {
        let if_exists = self.if_exists();
        Ok(Statement::DropUser { users: self.list(Self::account)?, if_exists })
    }

    /// SET PASSWORD [FOR user] = 'text', after its first two words.
    pub(super) fn set_password(&mut self) -> Read<Statement> {
        let user = if self.eat("FOR") { Some(self.account()?) } else { None };
        if self.is("TO") {
            return unsupported("SET PASSWORD TO RANDOM");
        }
        self.expect_token(&Token::Eq)?;
        let password = if self.eat("PASSWORD") { self.parenthesised(Self::text)? } else { self.text()? };
        Ok(Statement::SetPassword { user, password })
    }

    pub(super) fn grant(&mut self) -> Read<Statement> {
        self.expect("GRANT")?;
        if self.at_roles() {
            let roles = self.roles()?;
            self.expect("TO")?;
            let users = self.list(Self::account)?;
            let admin = self.eat_all(&["WITH", "ADMIN", "OPTION"]);
            return Ok(Statement::GrantRoles { roles, users, admin });
        }
        let (NamedPrivileges { words: privileges, of_columns: columns }, level) = self.privileges_on()?;
        self.expect("TO")?;
        let users = self.list(Self::user_spec)?;
        let with_grant_option = self.eat_all(&["WITH", "GRANT", "OPTION"]);
        if self.is("WITH") || self.is("REQUIRE") || self.is("AS") {
            return unsupported("these options of GRANT");
        }
        Ok(Statement::Grant(Box::new(Grant { privileges, columns, level, users, with_grant_option })))
    }

    pub(super) fn revoke(&mut self) -> Read<Statement> {
        self.expect("REVOKE")?;
        if self.if_exists() {
            return unsupported("REVOKE IF EXISTS");
        }
        if self.at_roles() {
            let roles = self.roles()?;
            self.expect("FROM")?;
            return Ok(Statement::RevokeRoles { roles, users: self.list(Self::account)? });
        }
        let (named, level) = if self.all_with_grant_option() {
            let words = vec!["ALL".to_string(), "GRANT OPTION".to_string()];
            (NamedPrivileges { words, of_columns: Vec::new() }, GrantLevel::Everywhere)
        } else {
            self.privileges_on()?
        };
        self.expect("FROM")?;
        let users = self.list(|r| Ok(UserSpec { account: r.account()?, plugin: None, password: None }))?;
        Ok(Statement::Revoke(Box::new(Grant {
            privileges: named.words,
            columns: named.of_columns,
            level,
            users,
            with_grant_option: false,
        })))
    }

    /// REVOKE ALL [PRIVILEGES], GRANT OPTION FROM ..: everything everywhere.
    fn all_with_grant_option(&mut self) -> bool {
        let comma = if self.is_word_nth(1, "PRIVILEGES") { 2 } else { 1 };
        let found = self.is("ALL")
            && *self.peek_nth(comma) == Token::Comma
            && self.is_word_nth(comma + 1, "GRANT")
            && self.is_word_nth(comma + 2, "OPTION")
            && self.is_word_nth(comma + 3, "FROM");
        if found {
            (0..comma + 3).for_each(|_| self.parser.advance_token());
        }
        found
    }

    /// Whether the names of roles follow, and not of privileges.
    fn at_roles(&self) -> bool {
        match self.peek() {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => true,
            Token::Word(word) if word.quote_style.is_some() => true,
            Token::Word(_) => {
                !self.is("ALL") && !self.is("PROXY") && !PRIVILEGES.iter().any(|words| self.are(words))
            }
            _ => false,
        }
    }

    fn roles(&mut self) -> Read<Vec<Account>> {
        let roles = self.list(Self::account)?;
        if self.is("ON") {
            return unsupported("dynamic privileges");
        }
        Ok(roles)
    }

    /// CREATE ROLE, after its first word.
    pub(super) fn create_role(&mut self) -> Read<Statement> {
        self.expect("ROLE")?;
        let if_not_exists = self.if_not_exists();
        Ok(Statement::CreateRole { roles: self.list(Self::account)?, if_not_exists })
    }

    /// DROP ROLE, after its first word.
    pub(super) fn drop_role(&mut self) -> Read<Statement> {
        self.expect("ROLE")?;
        let if_exists = self.if_exists();
        Ok(Statement::DropRole { roles: self.list(Self::account)?, if_exists })
    }

    /// RENAME USER, after its words.
    pub(super) fn rename_users(&mut self) -> Read<Statement> {
        let renames = self.list(|r| {
            let from = r.account()?;
            r.expect("TO")?;
            Ok((from, r.account()?))
        })?;
        Ok(Statement::RenameUsers(renames))
    }

    /// SET ROLE, after its words.
    pub(super) fn set_role(&mut self) -> Read<Statement> {
        if self.eat("DEFAULT") {
            return Ok(Statement::SetRole(RoleChoice::Default));
        }
        if self.eat_all(&["ALL", "EXCEPT"]) {
            return Ok(Statement::SetRole(RoleChoice::AllExcept(self.list(Self::account)?)));
        }
        self.role_choice().map(Statement::SetRole)
    }

    /// SET DEFAULT ROLE, after its words.
    pub(super) fn set_default_role(&mut self) -> Read<Statement> {
        let roles = self.role_choice()?;
        self.expect("TO")?;
        Ok(Statement::SetDefaultRole { roles, users: self.list(Self::account)? })
    }

    fn role_choice(&mut self) -> Read<RoleChoice> {
        if self.eat("NONE") {
            return Ok(RoleChoice::None);
        }
        if self.eat("ALL") {
            return Ok(RoleChoice::All);
        }
        self.list(Self::account).map(RoleChoice::Named)
    }

    fn privileges_on(&mut self) -> Read<(NamedPrivileges, GrantLevel)> {
        let mut named = NamedPrivileges::default();
        self.list(|r| {
            if r.eat("ALL") {
                r.eat("PRIVILEGES");
                named.words.push("ALL".to_string());
                return Ok(());
            }
            let Some(words) = PRIVILEGES.iter().find(|words| r.are(words)) else {
                // A role, or one of MySQL's dynamic privileges.
                return match r.account() {
                    Ok(_) => unsupported("roles and dynamic privileges"),
                    Err(_) => r.expected("a privilege"),
                };
            };
            r.eat_all(words);
            let word = words.join(" ");
            match word.as_str() {
                "SELECT" | "INSERT" | "UPDATE" | "REFERENCES" if *r.peek() == Token::LParen => {
                    let columns = r.parenthesised(|r| r.list(Self::name))?;
                    named.of_columns.push((word, columns));
                }
                _ => named.words.push(word),
            }
            Ok(())
        })?;
        self.expect("ON")?;
        if self.is("FUNCTION") || self.is("PROCEDURE") {
            return unsupported("privileges on routines");
        }
        self.eat("TABLE");
        Ok((named, self.grant_level()?))
    }

    fn grant_level(&mut self) -> Read<GrantLevel> {
        if self.eat_token(&Token::Mul) {
            if self.eat_token(&Token::Period) {
                self.expect_token(&Token::Mul)?;
                return Ok(GrantLevel::Global);
            }
            return Ok(GrantLevel::Database(None));
        }
        let first = self.name()?;
        if !self.eat_token(&Token::Period) {
            return Ok(GrantLevel::Table(TableName { database: None, name: first }));
        }
        if self.eat_token(&Token::Mul) {
            return Ok(GrantLevel::Database(Some(first)));
        }
        Ok(GrantLevel::Table(TableName { database: Some(first), name: self.name()? }))
    }
}
