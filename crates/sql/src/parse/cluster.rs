//! Statements about the nodes of the cluster: ADD LEAF and REMOVE LEAF.

use super::reader::{Read, Reader, unsupported};
use crate::statement::{LeafAddress, Statement};
use sqlparser::tokenizer::Token;

impl Reader<'_> {
    /// `ADD LEAF 'host'[:port]`. Nodes know each other by their certificates, so there are no users here.
    pub fn add_leaf(&mut self) -> Read<Statement> {
        self.expect_all(&["ADD", "LEAF"])?;
        let leaf = self.leaf_address("ADD LEAF with a user")?;
        if self.is("INTO") {
            return unsupported("ADD LEAF .. INTO GROUP");
        }
        Ok(Statement::AddLeaf(leaf))
    }

    /// `REMOVE LEAF 'host'[:port]`.
    pub fn remove_leaf(&mut self) -> Read<Statement> {
        self.expect_all(&["REMOVE", "LEAF"])?;
        let leaf = self.leaf_address("REMOVE LEAF with a user")?;
        if self.is("FORCE") {
            return unsupported("REMOVE LEAF .. FORCE");
        }
        Ok(Statement::RemoveLeaf(leaf))
    }

    fn leaf_address(&mut self, with_user: &str) -> Read<LeafAddress> {
        let host = self.name_or_text()?;
        let is_user = match self.peek() {
            Token::AtSign => true,
            Token::Word(word) => word.value.starts_with('@'),
            Token::Colon => !matches!(self.peek_nth(1), Token::Number(..)),
            _ => false,
        };
        if is_user {
            return unsupported(with_user);
        }
        let mut port = None;
        if self.eat_token(&Token::Colon) {
            match u16::try_from(self.unsigned()?) {
                Ok(number) if number > 0 => port = Some(number),
                _ => return self.expected("a port from 1 to 65535"),
            }
        }
        Ok(LeafAddress { host, port })
    }
}
