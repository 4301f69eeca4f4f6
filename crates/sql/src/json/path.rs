//! Paths into a document: `$.name`, `$[0]`, `$[last-1]`, `$[1 to 3]`, `$.*`, `$[*]`, `$**.name`.
//!
//! A cell of what is no array is the value itself for `[0]` and `[last]`, as in MySQL.

use super::{Json, name_order};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leg {
    Member(String),
    AnyMember,
    Cell(Cell),
    Range(Cell, Cell),
    AnyCell,
    /// `**`: this value and all within.
    Descend,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    FromStart(usize),
    /// `last-n`
    FromEnd(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) legs: Vec<Leg>,
}

impl Cell {
    /// The place in an array of this length; `None` before its start. It may lie past its end.
    fn place(self, length: usize) -> Option<usize> {
        match self {
            Cell::FromStart(at) => Some(at),
            Cell::FromEnd(back) => length.checked_sub(1 + back),
        }
    }
}

impl Path {
    /// Reads a path; the error is the place of the character that is wrong, from 1.
    pub(crate) fn parse(text: &str) -> Result<Path, usize> {
        let mut reader = Reader { text, at: 0 };
        reader.blanks();
        if !reader.eat('$') {
            return Err(reader.place());
        }
        let mut legs = Vec::new();
        loop {
            reader.blanks();
            if reader.rest().is_empty() {
                break;
            }
            legs.push(reader.leg()?);
        }
        if matches!(legs.last(), Some(Leg::Descend)) {
            return Err(reader.place());
        }
        Ok(Path { legs })
    }

    /// Whether it may mean several values.
    pub(crate) fn is_plural(&self) -> bool {
        self.legs.iter().any(|leg| !matches!(leg, Leg::Member(_) | Leg::Cell(_)))
    }

    /// Every value that the path means, in the order of the document.
    pub(crate) fn find<'j>(&self, document: &'j Json) -> Vec<&'j Json> {
        let mut found = vec![document];
        for leg in &self.legs {
            let mut next: Vec<&Json> = Vec::new();
            for value in found {
                follow(value, leg, &mut next);
            }
            found = next;
        }
        found
    }

    /// The value of a path that means one at most.
    pub(crate) fn find_mut<'j>(&self, legs: usize, document: &'j mut Json) -> Option<&'j mut Json> {
        let mut value = document;
        for leg in self.legs.get(..legs)? {
            value = match leg {
                Leg::Member(name) => {
                    let Json::Object(members) = value else { return None };
                    let at = members.binary_search_by(|member| name_order(&member.0, name)).ok()?;
                    &mut members[at].1
                }
                Leg::Cell(cell) => match value {
                    Json::Array(items) => {
                        let at = cell.place(items.len())?;
                        items.get_mut(at)?
                    }
                    scalar if cell.place(1) == Some(0) => scalar,
                    _ => return None,
                },
                _ => return None,
            };
        }
        Some(value)
    }

    /// Sets the value that the path means. `insert`: where there is none yet, and its parent is there;
    /// `replace`: where there is one.
    pub(crate) fn set(&self, document: &mut Json, value: Json, insert: bool, replace: bool) {
        if let Some(own) = self.find_mut(self.legs.len(), document) {
            if replace {
                *own = value;
            }
            return;
        }
        let Some(last) = self.legs.last() else { return };
        let Some(parent) = self.find_mut(self.legs.len() - 1, document) else { return };
        if !insert {
            return;
        }
        match (last, parent) {
            (Leg::Member(name), Json::Object(members)) => {
                if let Err(at) = members.binary_search_by(|member| name_order(&member.0, name)) {
                    members.insert(at, (name.clone(), value));
                }
            }
            (Leg::Cell(cell), Json::Array(items)) => match cell.place(items.len()) {
                Some(_) => items.push(value),
                None => items.insert(0, value),
            },
            (Leg::Cell(cell), scalar) => {
                let own = std::mem::replace(scalar, Json::Null);
                *scalar = match cell.place(1) {
                    Some(_) => Json::Array(vec![own, value]),
                    None => Json::Array(vec![value, own]),
                };
            }
            _ => {}
        }
    }

    /// Takes out the value that the path means.
    pub(crate) fn remove(&self, document: &mut Json) {
        let Some(last) = self.legs.last() else { return };
        let Some(parent) = self.find_mut(self.legs.len() - 1, document) else { return };
        match (last, parent) {
            (Leg::Member(name), Json::Object(members)) => {
                if let Ok(at) = members.binary_search_by(|member| name_order(&member.0, name)) {
                    members.remove(at);
                }
            }
            (Leg::Cell(cell), Json::Array(items)) => {
                if let Some(at) = cell.place(items.len()).filter(|at| *at < items.len()) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }

    /// JSON_ARRAY_INSERT: into the array before the cell that the path ends with. `false`: it ends with
    /// no cell.
    pub(crate) fn insert_cell(&self, document: &mut Json, value: Json) -> bool {
        let Some(Leg::Cell(cell)) = self.legs.last() else { return false };
        if let Some(Json::Array(items)) = self.find_mut(self.legs.len() - 1, document) {
            let at = match *cell {
                Cell::FromStart(at) => at.min(items.len()),
                Cell::FromEnd(back) => items.len().saturating_sub(back + 1),
            };
            items.insert(at, value);
        }
        true
    }
}

fn follow<'j>(value: &'j Json, leg: &Leg, out: &mut Vec<&'j Json>) {
    match leg {
        Leg::Member(name) => out.extend(value.member(name)),
        Leg::AnyMember => {
            if let Json::Object(members) = value {
                out.extend(members.iter().map(|member| &member.1));
            }
        }
        Leg::AnyCell => {
            if let Json::Array(items) = value {
                out.extend(items);
            }
        }
        Leg::Cell(cell) => match value {
            Json::Array(items) => out.extend(cell.place(items.len()).and_then(|at| items.get(at))),
            scalar if cell.place(1) == Some(0) => out.push(scalar),
            _ => {}
        },
        Leg::Range(first, last) => match value {
            Json::Array(items) => {
                let from = first.place(items.len()).unwrap_or(0);
                if let Some(to) = last.place(items.len()).map(|to| to.min(items.len().wrapping_sub(1)))
                    && let Some(part) = items.get(from..to.wrapping_add(1))
                {
                    out.extend(part);
                }
            }
            scalar if first.place(1) == Some(0) => out.push(scalar),
            _ => {}
        },
        Leg::Descend => descend(value, out),
    }
}

fn descend<'j>(value: &'j Json, out: &mut Vec<&'j Json>) {
    out.push(value);
    match value {
        Json::Array(items) => items.iter().for_each(|item| descend(item, out)),
        Json::Object(members) => members.iter().for_each(|member| descend(&member.1, out)),
        _ => {}
    }
}

/// A name as a path writes it: in quotes unless it is a plain word.
pub(crate) fn write_member(out: &mut String, name: &str) {
    out.push('.');
    let plain = name.chars().next().is_some_and(is_name_start) && name.chars().all(is_name_part);
    if plain { out.push_str(name) } else { super::quote(out, name) }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn is_name_part(c: char) -> bool {
    is_name_start(c) || c.is_numeric()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// For errors: the place after what was read.
    fn place(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn leg(&mut self) -> Result<Leg, usize> {
        if self.word("**") {
            return Ok(Leg::Descend);
        }
        if self.eat('.') {
            self.blanks();
            return self.member();
        }
        if self.eat('[') {
            self.blanks();
            let leg = if self.eat('*') { Leg::AnyCell } else { self.cells()? };
            self.blanks();
            return if self.eat(']') { Ok(leg) } else { Err(self.place()) };
        }
        Err(self.place())
    }

    fn member(&mut self) -> Result<Leg, usize> {
        if self.eat('*') {
            return Ok(Leg::AnyMember);
        }
        let rest = self.rest();
        if rest.starts_with('"') {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            let Some((end, _)) = end else { return Err(self.place()) };
            let Ok(Json::Text(name)) = super::parse(&rest[..=end]) else { return Err(self.place()) };
            self.at += end + 1;
            return Ok(Leg::Member(name));
        }
        let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
        if !rest[..length].starts_with(is_name_start) {
            return Err(self.place());
        }
        self.at += length;
        Ok(Leg::Member(rest[..length].to_string()))
    }

    fn cells(&mut self) -> Result<Leg, usize> {
        let first = self.cell()?;
        self.blanks();
        if self.word("to ") {
            self.blanks();
            return Ok(Leg::Range(first, self.cell()?));
        }
        Ok(Leg::Cell(first))
    }

    fn cell(&mut self) -> Result<Cell, usize> {
        if self.word("last") {
            self.blanks();
            if !self.eat('-') {
                return Ok(Cell::FromEnd(0));
            }
            self.blanks();
            return self.number().map(Cell::FromEnd);
        }
        self.number().map(Cell::FromStart)
    }

    fn number(&mut self) -> Result<usize, usize> {
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..length].parse::<u32>().map_err(|_| self.place())?;
        self.at += length;
        Ok(number as usize)
    }
}
