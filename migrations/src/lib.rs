//! The SQL of both schemas, the recovery class of every table, the runner, and the audit that no table is left out.
