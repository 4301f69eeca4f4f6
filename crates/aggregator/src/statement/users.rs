//! CREATE, ALTER and DROP USER, SET PASSWORD.
//!
//! Every account may do everything: privileges come with GRANT, which is refused until it is checked
//! on every statement.

use super::{Answer, done};
use crate::session::State;
use catalog::{Command, UserName};
use mysql_protocol::{Plugin, make_stored};
use sql::statement::{Account, Password, UserSpec};
use types::{ErrorKind, Result, SqlError};

impl State {
    fn user_name(&self, account: &Account) -> UserName {
        if account.current {
            UserName::new(self.user.clone(), "%")
        } else {
            UserName::new(account.user.clone(), account.host.clone())
        }
    }

    pub(crate) async fn create_users(&mut self, users: &[UserSpec], if_not_exists: bool) -> Result<Answer> {
        for spec in users {
            let (plugin, authentication) = proof(spec)?;
            let user = self.user_name(&spec.account);
            let plugin = plugin.name().to_string();
            self.change_catalog(Command::CreateUser { user, plugin, authentication, if_not_exists }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn alter_users(&mut self, users: &[UserSpec], if_exists: bool) -> Result<Answer> {
        for spec in users {
            let (plugin, authentication) = proof(spec)?;
            let user = self.user_name(&spec.account);
            let plugin = plugin.name().to_string();
            self.change_catalog(Command::AlterUser { user, plugin, authentication, if_exists }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn drop_users(&mut self, users: &[Account], if_exists: bool) -> Result<Answer> {
        for account in users {
            let user = self.user_name(account);
            self.change_catalog(Command::DropUser { user, if_exists }).await?;
        }
        Ok(done())
    }

    pub(crate) async fn set_password(&mut self, account: Option<&Account>, password: &str) -> Result<Answer> {
        let user = match account {
            Some(account) => self.user_name(account),
            None => UserName::new(self.user.clone(), "%"),
        };
        let plugin = Plugin::default();
        let authentication = make_stored(plugin, password).unwrap_or_default();
        let plugin = plugin.name().to_string();
        self.change_catalog(Command::AlterUser { user, plugin, authentication, if_exists: false }).await?;
        Ok(done())
    }
}

/// How the user will prove who they are: the plugin and what it keeps.
fn proof(spec: &UserSpec) -> Result<(Plugin, String)> {
    let plugin = match &spec.plugin {
        None => Plugin::default(),
        Some(name) => Plugin::from_name(name).ok_or_else(|| {
            SqlError::new(
                ErrorKind::WrongArguments,
                format!("Plugin '{name}' is not loaded; use caching_sha2_password or mysql_native_password"),
            )
        })?,
    };
    let authentication = match &spec.password {
        None => String::new(),
        Some(Password::Plain(password)) => make_stored(plugin, password).unwrap_or_default(),
        Some(Password::Hash(hash)) => {
            mysql_protocol::check_stored(plugin, hash)
                .map_err(|reason| SqlError::new(ErrorKind::WrongArguments, reason.to_string()))?;
            hash.clone()
        }
    };
    Ok((plugin, authentication))
}
