//! Every number that this program promises, beside the yardstick that it is promised against.
//!
//! `make bench`, or `cargo bench -p trstctl-tests --bench yardsticks -- [NAME…]` for the rows whose names contain one of these
//! words; `--list` prints the names. Yardstick and program run in turn on the same data, so that a busy or a slow machine
//! changes both. A bar that is not reached is printed as such: nothing here fails because of a figure.
//!
//! A row is one function in a file of `rows/`, and one line in [`rows::ALL`].

mod document;
mod figures;
mod machine;
mod row;
mod rows;
mod setting;
mod table;

use row::Row;
use setting::Setting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    if words.iter().any(|word| word == "--list") {
        rows::ALL.iter().for_each(|entry| println!("{}", entry.name));
        return;
    }
    let setting = Setting::from_environment();
    let machine = machine::facts();
    print!("{}", table::beginning(&machine, &setting));
    let mut measured: Vec<Row> = Vec::new();
    for entry in rows::ALL.iter().filter(|entry| is_wanted(entry.name)) {
        for row in (entry.measure)(&setting) {
            print!("{}", table::row(&row));
            measured.push(row.named(entry.name));
        }
    }
    document::write(machine, &setting, measured);
}
