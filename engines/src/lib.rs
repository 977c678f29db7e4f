//! Starts, checks and stops real `nats-server` and `postgres` processes: embedded mode, demos, drills, tests.
