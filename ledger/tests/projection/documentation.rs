//! `docs/read-model.md` says what the code does.

use trstctl_ledger::projection::{Column, Kind, Table};

const DOCUMENT: &str = include_str!("../../../docs/read-model.md");

/// The columns that the document lists for a table: names, and whether they may be NULL.
fn documented(table: Table) -> Vec<(String, bool)> {
    let begin = format!("| `{}` | ", table.name());
    let line = DOCUMENT.lines().find(|line| line.starts_with(&begin)).expect("a line for the table");
    let columns = line.split('|').nth(3).expect("three cells");
    let names = columns.split([',', ';']).filter(|cell| !cell.contains("`tenant_id`"));
    names
        .map(|cell| {
            let name = cell.split_whitespace().next().expect("a name");
            (name.trim_end_matches('?').to_owned(), name.ends_with('?'))
        })
        .collect()
}

#[test]
fn the_document_lists_the_columns_of_every_table_in_order() {
    for table in Table::ALL {
        let nullable = |column: &Column| (column.name.to_owned(), column.nullable);
        let columns: Vec<_> = table.columns().iter().skip(1).map(nullable).collect();
        assert_eq!(documented(table), columns, "{}", table.name());
    }
}

#[test]
fn every_key_and_lookup_is_a_column_and_the_tenant_comes_first() {
    for table in Table::ALL {
        let first = table.columns()[0];
        assert_eq!((first.name, first.kind), ("tenant_id", Kind::Uuid), "{}", table.name());
        let named = table.key().iter().chain(table.lookup().unwrap_or_default());
        for name in named {
            let column = table.columns()[table.position(name).expect("a column")];
            assert!(!column.nullable, "{}.{name}", table.name());
        }
    }
}
