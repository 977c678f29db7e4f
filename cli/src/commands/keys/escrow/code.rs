//! The QR code of a share: version 5-Q, which holds its text exactly.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode, Version};
use trstctl_formats::key_share::Share;
use zeroize::Zeroizing;

/// Modules of white around a code.
const QUIET: usize = 4;

/// The modules of a code, the white around it included. Wiped on drop.
pub struct Code {
    width: usize,
    dark: Zeroizing<Vec<bool>>,
}

impl Code {
    /// The code of a share.
    pub fn of(share: &Share) -> Self {
        let code = QrCode::with_version(share.text().as_bytes(), Version::Normal(5), EcLevel::Q)
            .expect("a code of version 5-Q holds 87 such characters");
        let dark = code.to_colors().iter().map(|color| *color == Color::Dark).collect();
        Self { width: code.width(), dark: Zeroizing::new(dark) }
    }

    /// Modules on each side, the white included.
    pub fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Whether the module in this column and row is dark, from 0 on.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = QUIET..QUIET + self.width;
        inside.contains(&x) && inside.contains(&y) && self.dark[(y - QUIET) * self.width + x - QUIET]
    }
}
