//! Whole-process tests of `trstctl-dr` on real engines; see `tests/tests`.
