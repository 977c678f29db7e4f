//! Peak memory of verify, whatever the size of the file.

use super::{backups, child};
use crate::figures::{Figures, Unit};
use crate::row::{Reach, Row};
use crate::setting::Setting;

const MIB: f64 = 1024.0 * 1024.0;

/// Lines up to 1 MiB, 10,000 tenants; one row a size.
pub fn peaks(setting: &Setting) -> Vec<Row> {
    let key = backups::key_file(setting);
    let peak = |gb: &f64| {
        let file = backups::wide(setting, *gb);
        let bytes = child::peak_bytes(&mut child::verify(&file, &key));
        Row {
            name: String::new(),
            what: format!("memory of verify, {gb} GB"),
            yardstick: None,
            ours: Figures::once(Unit::Bytes, bytes),
            reach: Reach::AtMost(64.0 * MIB),
            limit: String::from("one pool of buffers that all threads share, and a tree a tenant."),
        }
    };
    setting.sizes_gb.iter().map(peak).collect()
}
