//! The flows backup, restore and rebuild as plans of steps that can be shown before they run, and the report they fill.
