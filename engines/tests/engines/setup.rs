//! `scripts/setup` and the product agree on what is installed.

use std::process::{Command, Output};

fn setup(variable: Option<(&str, &str)>) -> Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/setup"));
    command.envs(variable).output().unwrap()
}

#[test]
fn setup_says_and_does_nothing_when_nothing_is_missing() {
    let output = setup(None);
    assert!(output.status.success());
    assert_eq!((output.stdout, String::from_utf8(output.stderr).unwrap()), (Vec::new(), String::new()));
}

#[test]
fn setup_refuses_a_variable_that_names_no_program() {
    for (variable, value) in
        [("TRSTCTL_NATS_SERVER_BIN", "/nowhere/nats"), ("TRSTCTL_POSTGRES_BIN_DIR", "/nowhere")]
    {
        let output = setup(Some((variable, value)));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains(variable));
    }
}
