//! The limits that every reader applies and every writer keeps.

use super::FormatVersion;

/// Gap ranges that a trailer spells out; with more it says `null`.
pub const MAX_GAP_RANGES: usize = 1_000_000;

/// Tenants that a trailer spells out; with more it says `null`.
pub const MAX_TENANTS: usize = 250_000;

/// Largest integer: 18 digits.
pub const MAX_INTEGER: u64 = 999_999_999_999_999_999;

/// Brackets that may be open at once within the payload of a version 2 record.
pub(crate) const MAX_DATA_DEPTH_V2: u32 = 128;

impl FormatVersion {
    /// Longest line in bytes, its newline included.
    pub fn max_line_bytes(self) -> usize {
        match self {
            FormatVersion::V1 => 64 << 20,
            FormatVersion::V2 => 128 << 20,
        }
    }

    /// The number in the header.
    pub fn number(self) -> u8 {
        match self {
            FormatVersion::V1 => 1,
            FormatVersion::V2 => 2,
        }
    }
}
