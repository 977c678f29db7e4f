//! Reads what a sequence of SQL files makes of the tables: created, altered, renamed, moved, dropped.
//!
//! No SQL parser: it knows the statements that concern it and skips the rest. It finds `CREATE TABLE` wherever it stands
//! (inside `DO` blocks too); what a program builds as a string is for the live catalog to show.

use super::SqlFile;
use super::facts::{Policy, Reach, TableFacts, TableName, Tables};
use super::tokens::{Token, Unterminated, tokens};
use crate::{PUBLIC, READ_MODEL};

/// The tables that the files leave behind, and the files that cannot be read.
pub(super) fn read(files: &[SqlFile]) -> (Tables, Vec<(String, &'static str)>) {
    let mut tables = Tables::new();
    let mut unreadable = Vec::new();
    for file in files {
        if let Err(Unterminated(what)) = read_file(file, &mut tables) {
            unreadable.push((file.name.clone(), what));
        }
    }
    (tables, unreadable)
}

fn read_file(file: &SqlFile, tables: &mut Tables) -> Result<(), Unterminated> {
    let schema = if file.name.contains(READ_MODEL) { READ_MODEL } else { PUBLIC };
    let mut reader = Reader { file: &file.name, schema: schema.to_owned(), blocks: 0, tables };
    reader.text(&file.text)
}

/// `DO` blocks inside each other that are read: more would be for the stack of this program, and nobody writes them.
const MAX_BLOCKS: u32 = 64;

struct Reader<'a> {
    file: &'a str,
    /// Where a name without a schema belongs.
    schema: String,
    /// `DO` blocks around the text that is read.
    blocks: u32,
    tables: &'a mut Tables,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) -> Result<(), Unterminated> {
        let all = tokens(text)?;
        for statement in all.split(|token| token.is_symbol(';')) {
            self.statement(statement)?;
        }
        Ok(())
    }

    fn statement(&mut self, tokens: &[Token]) -> Result<(), Unterminated> {
        if tokens.first().is_some_and(|token| token.is_word("do")) {
            return self.block(tokens);
        }
        // Anywhere, since a block's statement may follow BEGIN, THEN or a CREATE SCHEMA.
        for start in 0..tokens.len() {
            self.clause(Cursor { tokens: &tokens[start..] }, start == 0);
        }
        Ok(())
    }

    fn block(&mut self, tokens: &[Token]) -> Result<(), Unterminated> {
        if self.blocks == MAX_BLOCKS {
            return Err(Unterminated("nest of more than 64 DO blocks"));
        }
        self.blocks += 1;
        for token in tokens {
            if let Token::Dollar(body) = token {
                self.text(body)?;
            }
        }
        self.blocks -= 1;
        Ok(())
    }

    fn clause(&mut self, mut cursor: Cursor<'_>, first: bool) {
        if cursor.words(&["create"]) {
            self.create(cursor);
        } else if cursor.words(&["alter", "table"]) || cursor.words(&["alter", "foreign", "table"]) {
            self.alter_table(cursor);
        } else if cursor.words(&["alter", "schema"]) {
            self.alter_schema(cursor);
        } else if cursor.words(&["drop", "table"]) || cursor.words(&["drop", "foreign", "table"]) {
            self.drop_tables(cursor);
        } else if cursor.words(&["drop", "schema"]) {
            self.drop_schema(cursor);
        } else if cursor.words(&["drop", "policy"]) {
            self.drop_policy(cursor);
        } else if cursor.words(&["set", "search_path"]) || cursor.words(&["set", "local", "search_path"]) {
            self.set_search_path(cursor);
        } else if first && (cursor.words(&["select"]) || cursor.words(&["with"])) {
            self.select_into(cursor);
        }
    }

    fn create(&mut self, mut cursor: Cursor<'_>) {
        let passing = cursor.word_of(&["temp", "temporary"]).is_some();
        cursor.word_of(&["global", "local", "unlogged", "foreign"]);
        let passing = passing || cursor.word_of(&["temp", "temporary"]).is_some();
        if cursor.words(&["table"]) {
            if !passing {
                self.create_table(cursor);
            }
        } else if cursor.words(&["policy"]) {
            self.create_policy(cursor);
        } else if cursor.words(&["schema"]) {
            cursor.words(&["if", "not", "exists"]);
            if let Some(name) = cursor.name()
                && cursor.contains(&["create", "table"])
            {
                self.schema = name;
            }
        }
    }

    fn create_table(&mut self, mut cursor: Cursor<'_>) {
        cursor.words(&["if", "not", "exists"]);
        let Some(name) = self.table_name(&mut cursor) else { return };
        if cursor.words(&["partition", "of"]) {
            return; // Its rows belong to the table that it is a part of.
        }
        let mut facts = TableFacts { seen_in: self.file.to_owned(), ..TableFacts::default() };
        facts.has_tenant = cursor.has_column("tenant_id");
        facts.references.extend(self.references(cursor));
        self.tables.entry(name).or_insert(facts);
    }

    fn references(&self, mut cursor: Cursor<'_>) -> Vec<TableName> {
        let mut found = Vec::new();
        while !cursor.tokens.is_empty() {
            if cursor.words(&["references"]) {
                found.extend(self.table_name(&mut cursor));
            } else {
                cursor.tokens = &cursor.tokens[1..];
            }
        }
        found
    }

    fn alter_table(&mut self, mut cursor: Cursor<'_>) {
        cursor.words(&["if", "exists"]);
        cursor.words(&["only"]);
        let Some(name) = self.table_name(&mut cursor) else { return };
        cursor.symbol('*');
        if cursor.words(&["rename", "to"]) {
            if let Some(new) = cursor.name() {
                self.rename(&name, TableName::new(name.schema.clone(), new));
            }
        } else if cursor.words(&["set", "schema"]) {
            if let Some(schema) = cursor.name() {
                self.rename(&name, TableName::new(schema, name.table.clone()));
            }
        } else {
            let references = self.references(cursor);
            if let Some(facts) = self.tables.get_mut(&name) {
                facts.references.extend(references);
                cursor.split_commas().for_each(|action| alter(facts, action));
            }
        }
    }

    fn rename(&mut self, old: &TableName, new: TableName) {
        if let Some(facts) = self.tables.remove(old) {
            self.tables.insert(new.clone(), facts);
        }
        for facts in self.tables.values_mut() {
            if facts.references.remove(old) {
                facts.references.insert(new.clone());
            }
        }
    }

    fn alter_schema(&mut self, mut cursor: Cursor<'_>) {
        let Some(old) = cursor.name() else { return };
        let true = cursor.words(&["rename", "to"]) else { return };
        let Some(new) = cursor.name() else { return };
        let moved: Vec<_> = self.tables.keys().filter(|name| name.schema == old).cloned().collect();
        for name in moved {
            self.rename(&name, TableName::new(new.clone(), name.table.clone()));
        }
    }

    fn drop_tables(&mut self, mut cursor: Cursor<'_>) {
        cursor.words(&["if", "exists"]);
        while let Some(name) = self.table_name(&mut cursor) {
            self.tables.remove(&name);
            if !cursor.symbol(',') {
                return;
            }
        }
    }

    fn drop_schema(&mut self, mut cursor: Cursor<'_>) {
        cursor.words(&["if", "exists"]);
        while let Some(schema) = cursor.name() {
            self.tables.retain(|name, _| name.schema != schema);
            if !cursor.symbol(',') {
                return;
            }
        }
    }

    fn create_policy(&mut self, mut cursor: Cursor<'_>) {
        let Some(name) = cursor.name() else { return };
        let true = cursor.words(&["on"]) else { return };
        let Some(table) = self.table_name(&mut cursor) else { return };
        let policy = policy(name, cursor);
        if let Some(facts) = self.tables.get_mut(&table) {
            facts.policies.push(policy);
        }
    }

    fn drop_policy(&mut self, mut cursor: Cursor<'_>) {
        cursor.words(&["if", "exists"]);
        let Some(name) = cursor.name() else { return };
        let true = cursor.words(&["on"]) else { return };
        if let Some(table) = self.table_name(&mut cursor)
            && let Some(facts) = self.tables.get_mut(&table)
        {
            facts.policies.retain(|policy| policy.name != name);
        }
    }

    fn set_search_path(&mut self, mut cursor: Cursor<'_>) {
        if (cursor.symbol('=') || cursor.words(&["to"]))
            && let Some(schema) = cursor.name_or_text()
        {
            self.schema = schema;
        }
    }

    /// `SELECT … INTO table` makes a table.
    fn select_into(&mut self, mut cursor: Cursor<'_>) {
        let mut depth = 0_i32;
        while let Some((token, rest)) = cursor.tokens.split_first() {
            cursor.tokens = rest;
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            let is_insert = token.is_word("insert") || token.is_word("merge");
            if is_insert {
                return;
            }
            if depth == 0 && token.is_word("into") {
                let temporary = cursor.word_of(&["temp", "temporary"]).is_some();
                cursor.words(&["unlogged"]);
                cursor.words(&["table"]);
                if let Some(name) = self.table_name(&mut cursor).filter(|_| !temporary) {
                    let facts = TableFacts { seen_in: self.file.to_owned(), ..TableFacts::default() };
                    self.tables.entry(name).or_insert(facts);
                }
                return;
            }
        }
    }

    fn table_name(&self, cursor: &mut Cursor<'_>) -> Option<TableName> {
        let first = cursor.name()?;
        if !cursor.symbol('.') {
            return Some(TableName::new(self.schema.clone(), first));
        }
        let second = cursor.name()?;
        if !cursor.symbol('.') {
            return Some(TableName::new(first, second));
        }
        Some(TableName::new(second, cursor.name()?)) // database.schema.table
    }
}

/// One action of ALTER TABLE.
fn alter(facts: &mut TableFacts, mut action: Cursor<'_>) {
    let security = ["row", "level", "security"];
    if action.words(&["no", "force"]) && action.words(&security) {
        facts.forced = false;
    } else if action.words(&["force"]) && action.words(&security) {
        facts.forced = true;
    } else if action.words(&["enable"]) && action.words(&security) {
        facts.enabled = true;
    } else if action.words(&["disable"]) && action.words(&security) {
        facts.enabled = false;
    } else if action.words(&["add"]) {
        action.words(&["column"]);
        action.words(&["if", "not", "exists"]);
        facts.has_tenant |= action.name().as_deref() == Some("tenant_id");
    } else if action.words(&["drop"]) {
        action.words(&["column"]);
        action.words(&["if", "exists"]);
        facts.has_tenant &= action.name().as_deref() != Some("tenant_id");
    }
}

/// What follows `CREATE POLICY name ON table`.
fn policy(name: String, mut cursor: Cursor<'_>) -> Policy {
    let mut roles = Vec::new();
    let (mut using, mut check) = (None, None);
    let mut plain = true;
    while !cursor.tokens.is_empty() {
        if cursor.words(&["as"]) {
            plain &= cursor.word_of(&["permissive"]).is_some();
        } else if cursor.words(&["for"]) {
            plain &= cursor.word_of(&["all"]).is_some();
        } else if cursor.words(&["to"]) {
            roles = cursor.names();
        } else if cursor.words(&["using"]) {
            using = Some(cursor.parenthesised());
        } else if cursor.words(&["with", "check"]) {
            check = Some(cursor.parenthesised());
        } else {
            cursor.tokens = &cursor.tokens[1..];
        }
    }
    if roles.is_empty() {
        roles.push("public".into());
    }
    let reach = if plain { Reach::of(using.as_deref(), check.as_deref()) } else { Reach::Other };
    Policy { name, roles, reach }
}

/// What is left of a statement.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    tokens: &'a [Token],
}

impl<'a> Cursor<'a> {
    /// Takes these words if they come next, else nothing.
    fn words(&mut self, words: &[&str]) -> bool {
        let fits = self.tokens.len() >= words.len()
            && words.iter().zip(self.tokens).all(|(word, token)| token.is_word(word));
        if fits {
            self.tokens = &self.tokens[words.len()..];
        }
        fits
    }

    /// Takes one of these words if it comes next.
    fn word_of(&mut self, words: &[&str]) -> Option<()> {
        words.iter().any(|word| self.words(&[word])).then_some(())
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let fits = self.tokens.first().is_some_and(|token| token.is_symbol(symbol));
        if fits {
            self.tokens = &self.tokens[1..];
        }
        fits
    }

    fn name(&mut self) -> Option<String> {
        match self.tokens.split_first() {
            Some((Token::Word(name) | Token::Quoted(name), rest)) => {
                self.tokens = rest;
                Some(name.clone())
            }
            _ => None,
        }
    }

    fn name_or_text(&mut self) -> Option<String> {
        match self.tokens.first() {
            Some(Token::Text(text)) => Some(text.clone()),
            _ => self.name(),
        }
    }

    /// Names with commas between.
    fn names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.symbol(',') {
                break;
            }
        }
        names
    }

    fn contains(&self, words: &[&str]) -> bool {
        (0..self.tokens.len()).any(|start| Cursor { tokens: &self.tokens[start..] }.words(words))
    }

    /// A column of this name stands in the parentheses that come next.
    fn has_column(&self, column: &str) -> bool {
        let mut inner = *self;
        if !inner.symbol('(') {
            return false;
        }
        inner.tokens = inner.tokens.split_last().map_or(&[], |(_, rest)| rest);
        inner.split_commas().any(|mut definition| definition.name().as_deref() == Some(column))
    }

    /// The parts between the commas that stand in no parentheses.
    fn split_commas(&self) -> impl Iterator<Item = Cursor<'a>> + use<'a> {
        let mut depth = 0_i32;
        let outer = move |token: &Token| {
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            depth == 0 && token.is_symbol(',')
        };
        self.tokens.split(outer).map(|tokens| Cursor { tokens })
    }

    /// The text of an expression in parentheses, as far as comparing needs it.
    fn parenthesised(&mut self) -> String {
        let mut text = String::new();
        let mut depth = 0_i32;
        while let Some((token, rest)) = self.tokens.split_first() {
            self.tokens = rest;
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            match token {
                Token::Word(word) | Token::Quoted(word) => text.push_str(word),
                Token::Text(constant) | Token::Dollar(constant) => text.push_str(&format!("'{constant}'")),
                Token::Symbol(symbol) => text.push(*symbol),
            }
            text.push(' ');
            if depth == 0 {
                break;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables_of(name: &str, text: &str) -> Tables {
        read(&[SqlFile { name: name.into(), text: text.into() }]).0
    }

    fn names(text: &str) -> Vec<String> {
        tables_of("0001-public-x.sql", text).keys().map(ToString::to_string).collect()
    }

    #[test]
    fn tables_are_found_however_they_are_spelt() {
        assert_eq!(names("create table if not exists A (x int)"), ["public.a"]);
        assert_eq!(names("CREATE UNLOGGED TABLE \"Odd Name\" (x int);"), ["public.Odd Name"]);
        assert_eq!(names("CREATE/* */TABLE\n-- c\nread_model . b();"), ["read_model.b"]);
        assert_eq!(names("CREATE TABLE a AS SELECT 1"), ["public.a"]);
        assert_eq!(names("SELECT 1 AS x INTO c FROM d"), ["public.c"]);
        assert_eq!(
            names("DO $$ BEGIN IF true THEN CREATE TABLE hidden (x int); END IF; END $$"),
            ["public.hidden"]
        );
        assert_eq!(names("CREATE SCHEMA s CREATE TABLE t (x int)"), ["s.t"]);
        assert_eq!(names("SET LOCAL search_path = read_model; CREATE TABLE t (x int)"), ["read_model.t"]);
    }

    fn nested_blocks(depth: usize) -> String {
        let opened: String = (0..depth).map(|level| format!("DO $b{level}$ ")).collect();
        let closed: String = (0..depth).rev().map(|level| format!("$b{level}$; ")).collect();
        format!("{opened}CREATE TABLE inside (x int); {closed}")
    }

    #[test]
    fn blocks_inside_each_other_are_read_up_to_a_limit_and_then_reported() {
        assert_eq!(names(&nested_blocks(64)), ["public.inside"]);
        let file = SqlFile { name: "x.sql".into(), text: nested_blocks(5_000) };
        let (tables, unreadable) = read(&[file]);
        assert_eq!(unreadable, [(String::from("x.sql"), "nest of more than 64 DO blocks")]);
        assert!(tables.is_empty());
    }

    #[test]
    fn what_only_looks_like_a_table_is_not_found() {
        for text in [
            "-- create table a (x int);",
            "SELECT 'create table a (x int);'",
            "CREATE TEMP TABLE a (x int)",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ CREATE TABLE a (x int) $$",
            "GRANT CREATE ON SCHEMA public TO x",
            "WITH y AS (SELECT 1) INSERT INTO z SELECT * FROM y",
        ] {
            assert!(names(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn later_statements_rename_move_and_drop() {
        assert_eq!(names("CREATE TABLE a(); ALTER TABLE a RENAME TO b"), ["public.b"]);
        assert_eq!(names("CREATE TABLE a(); ALTER TABLE IF EXISTS ONLY a SET SCHEMA s"), ["s.a"]);
        assert_eq!(
            names("CREATE TABLE a(); CREATE TABLE b(); DROP TABLE IF EXISTS a, public.b CASCADE"),
            [""; 0]
        );
        assert_eq!(names("CREATE TABLE s.a(); ALTER SCHEMA s RENAME TO t"), ["t.a"]);
        assert_eq!(names("CREATE TABLE s.a(); DROP SCHEMA s CASCADE"), [""; 0]);
    }

    #[test]
    fn file_of_the_read_model_puts_plain_names_there() {
        let tables = tables_of("0009-read_model-tables.sql", "CREATE TABLE a (tenant_id uuid, b int)");
        let facts = &tables[&TableName::new("read_model", "a")];
        assert!(facts.has_tenant);
    }

    #[test]
    fn security_policies_and_references_are_understood() {
        let tables = tables_of(
            "x.sql",
            "CREATE TABLE a (x int REFERENCES read_model.owners (id), tenant_id uuid);
             ALTER TABLE a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY p ON a TO trstctl_owner USING (true) WITH CHECK (true);
             CREATE POLICY q ON a USING (true) WITH CHECK (false);
             CREATE POLICY r ON a FOR SELECT TO x USING (true);
             ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES other.b;",
        );
        let facts = &tables[&TableName::new("public", "a")];
        assert!(facts.enabled && facts.forced && facts.has_tenant);
        let reach: Vec<_> = facts.policies.iter().map(|policy| policy.reach).collect();
        assert_eq!(reach, [Reach::Everything, Reach::Other, Reach::Other]);
        assert_eq!(facts.policies[1].roles, ["public"]);
        assert_eq!(facts.references.len(), 2);
    }
}
