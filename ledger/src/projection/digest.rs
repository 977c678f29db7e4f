//! The state digest: two models are compared without shipping rows.
//!
//! Each row is encoded, hashed with SHA-256, and the hashes of a table's rows are added modulo 2^256, next to their
//! count: the sum does not depend on the order, and rows can be added and taken away. It finds drift and accidents; it
//! proves nothing against somebody who may choose rows at will.
//!
//! The encoding of a row: `trstctl/read-model-row/v1`, a zero byte, the table's name, a zero byte; then for each column
//! one byte for the kind (0 null, 1 uuid, 2 text, 3 list of texts, 4 integer, 5 boolean, 6 time, 7 JSON, 8 bytes) and the
//! value: uuid 16 bytes; integer and time (microseconds since 1970) 8 bytes, big-endian; boolean one byte; text, JSON
//! and bytes their length in 8 bytes and themselves; a list its length in 8 bytes and each text so.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::table::{Row, Table, Value};

/// Room for the encoding of a usual row.
const ROW_BYTES: usize = 1024;

/// Digest of some rows of one table: their number and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableDigest {
    /// Number of rows.
    pub rows: u64,
    /// Sum of their hashes modulo 2^256, as four 64-bit limbs, the lowest first.
    sum: [u64; 4],
}

impl TableDigest {
    /// Adds a row.
    pub fn add(&mut self, table: Table, row: &Row) {
        self.merge(Self { rows: 1, sum: row_hash(table, row) });
    }

    /// Takes a row away that was added before.
    pub fn remove(&mut self, table: Table, row: &Row) {
        self.rows = self.rows.wrapping_sub(1);
        let mut borrow = false;
        for (limb, taken) in self.sum.iter_mut().zip(row_hash(table, row)) {
            let (difference, first) = limb.overflowing_sub(taken);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
    }

    /// Adds the rows of another digest.
    pub fn merge(&mut self, other: Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        let mut carry = false;
        for (limb, added) in self.sum.iter_mut().zip(other.sum) {
            let (sum, first) = limb.overflowing_add(added);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }
}

/// The sum as 64 hex digits, the highest first.
impl fmt::Display for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().rev().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

fn row_hash(table: Table, row: &Row) -> [u64; 4] {
    let mut encoded = Vec::with_capacity(ROW_BYTES);
    encoded.extend_from_slice(b"trstctl/read-model-row/v1\0");
    encoded.extend_from_slice(table.name().as_bytes());
    encoded.push(0);
    row.iter().for_each(|value| put_value(&mut encoded, value));
    let bytes = Sha256::digest(&encoded);
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Uuid(uuid) => tagged(out, 1, uuid.as_bytes()),
        Value::Text(text) => sized(out, 2, text.as_bytes()),
        Value::TextArray(texts) => {
            tagged(out, 3, &(texts.len() as u64).to_be_bytes());
            texts.iter().for_each(|text| counted(out, text.as_bytes()));
        }
        Value::Int(int) => tagged(out, 4, &int.to_be_bytes()),
        Value::Bool(flag) => tagged(out, 5, &[u8::from(*flag)]),
        Value::Time(micros) => tagged(out, 6, &micros.to_be_bytes()),
        Value::Json(json) => sized(out, 7, json.as_bytes()),
        Value::Bytes(bytes) => sized(out, 8, bytes),
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn sized(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    counted(out, bytes);
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Digests of a whole read model: one a table and tenant. Equal models have equal digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelDigest(BTreeMap<(Table, Option<Uuid>), TableDigest>);

impl ModelDigest {
    /// Adds a row to the digest of its table and tenant.
    pub fn add(&mut self, table: Table, row: &Row) {
        let tenant = match row.first() {
            Some(Value::Uuid(tenant)) => Some(*tenant),
            _ => None,
        };
        self.0.entry((table, tenant)).or_default().add(table, row);
    }

    /// Adds what was digested elsewhere, of other rows.
    pub fn merge(&mut self, other: &Self) {
        for (key, digest) in &other.0 {
            self.0.entry(*key).or_default().merge(*digest);
        }
    }

    /// Table, tenant and digest, sorted; a table without rows of a tenant is left out.
    pub fn iter(&self) -> impl Iterator<Item = (Table, Option<Uuid>, TableDigest)> {
        self.0.iter().map(|((table, tenant), digest)| (*table, *tenant, *digest))
    }

    /// Digest of all rows of a table.
    pub fn table(&self, table: Table) -> TableDigest {
        let mut all = TableDigest::default();
        self.iter().filter(|(t, ..)| *t == table).for_each(|(.., digest)| all.merge(digest));
        all
    }

    /// Tables and tenants in which two models differ, sorted.
    pub fn differences(&self, other: &Self) -> Vec<(Table, Option<Uuid>)> {
        let mut keys: Vec<_> = self.0.keys().chain(other.0.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.0.get(key) != other.0.get(key));
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Row {
        let uuid = Value::Uuid(Uuid::from_u128(1));
        let text = |t: &str| Value::Text(t.to_owned());
        vec![uuid.clone(), uuid, text("team"), text(name), text("")]
    }

    fn digest(names: &[&str]) -> TableDigest {
        let mut digest = TableDigest::default();
        names.iter().for_each(|name| digest.add(Table::Owners, &owner(name)));
        digest
    }

    #[test]
    fn order_does_not_matter_and_rows_can_be_taken_away() {
        assert_eq!(digest(&["a", "b", "c"]), digest(&["c", "a", "b"]));
        let mut less = digest(&["a", "b", "c"]);
        less.remove(Table::Owners, &owner("b"));
        assert_eq!(less, digest(&["a", "c"]));
        less.remove(Table::Owners, &owner("c"));
        less.remove(Table::Owners, &owner("a"));
        assert_eq!(less, TableDigest::default());
    }

    #[test]
    fn every_value_and_the_table_matter() {
        assert_ne!(digest(&["a"]), digest(&["b"]));
        let mut elsewhere = TableDigest::default();
        elsewhere.add(Table::Issuers, &owner("a"));
        assert_ne!(digest(&["a"]), elsewhere);
        let list = |texts: &[&str]| {
            row_hash(Table::Issuers, &vec![Value::TextArray(texts.iter().map(|t| t.to_string()).collect())])
        };
        assert_ne!(list(&["ab", ""]), list(&["a", "b"]));
        assert_ne!(
            row_hash(Table::Owners, &vec![Value::Int(1)]),
            row_hash(Table::Owners, &vec![Value::Time(1)])
        );
    }

    #[test]
    fn a_model_is_digested_by_table_and_tenant() {
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let of = |tenant: Uuid, name: &str| {
            let mut row = owner(name);
            row[0] = Value::Uuid(tenant);
            row
        };
        let whole = |rows: &[(Table, Row)]| {
            let mut model = ModelDigest::default();
            rows.iter().for_each(|(table, row)| model.add(*table, row));
            model
        };
        let without_tenant = vec![Value::Null, Value::Int(7)];
        let rows = [
            (Table::Owners, of(one, "a")),
            (Table::Owners, of(other, "b")),
            (Table::Owners, of(other, "c")),
            (Table::ProjectionFaults, without_tenant),
        ];
        let model = whole(&rows);
        let parts: Vec<_> =
            model.iter().map(|(table, tenant, digest)| (table, tenant, digest.rows)).collect();
        let expected = [
            (Table::Owners, Some(one), 1),
            (Table::Owners, Some(other), 2),
            (Table::ProjectionFaults, None, 1),
        ];
        assert_eq!(parts.len(), 3);
        assert!(expected.iter().all(|part| parts.contains(part)), "{parts:?}");
        let mut owners = TableDigest::default();
        rows[..3].iter().for_each(|(table, row)| owners.add(*table, row));
        assert_eq!(model.table(Table::Owners), owners);

        let mut merged = whole(&rows[2..]);
        merged.merge(&whole(&rows[..2]));
        assert_eq!(merged, model);
        assert_eq!(model.differences(&merged), []);
        let missing = [(Table::Owners, Some(one)), (Table::Owners, Some(other))];
        assert_eq!(model.differences(&whole(&rows[2..])), missing);
        assert_eq!(whole(&rows[2..]).differences(&model), missing);
    }

    #[test]
    fn a_digest_is_the_documented_one() {
        let mut bytes = b"trstctl/read-model-row/v1\0tenants\0\x01".to_vec();
        bytes.extend([0x11; 16]);
        bytes.extend(b"\x02\0\0\0\0\0\0\0\x04Acme\x06\0\0\0\0\0\0\0\x05");
        let row = vec![Value::Uuid(Uuid::from_bytes([0x11; 16])), Value::Text("Acme".into()), Value::Time(5)];
        let mut digest = TableDigest::default();
        digest.add(Table::Tenants, &row);
        assert_eq!(digest.to_string(), hex::encode(Sha256::digest(&bytes)));
    }
}
