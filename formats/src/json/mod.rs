//! Scanning and writing JSON text without losing a byte of it.
