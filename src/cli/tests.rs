//! The command line as a whole.

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_and_argument_says_what_it_is() {
    fn check(command: &clap::Command) {
        for argument in command.get_arguments() {
            let (of, id) = (command.get_name(), argument.get_id());
            assert!(argument.get_help().is_some(), "{of}: {id}");
        }
        for inner in command.get_subcommands() {
            assert!(inner.get_about().is_some(), "{}", inner.get_name());
            let teaches = inner.get_after_help().map(ToString::to_string);
            assert!(
                teaches.is_some_and(|text| text.contains("Example")),
                "{} has no example",
                inner.get_name()
            );
            check(inner);
        }
    }
    check(&Arguments::command());
}

#[test]
fn a_cause_that_is_told_already_is_not_told_again() {
    let error = anyhow::anyhow!("the disk is full")
        .context("the file: the disk is full")
        .context("the database cannot be opened");
    assert_eq!(
        in_one_line(&error),
        "the database cannot be opened: the file: the disk is full"
    );
}

#[test]
fn a_password_is_never_an_argument() {
    for arguments in [
        ["skriptoteket", "user", "add", "ada", "--password", "x"],
        [
            "skriptoteket",
            "user",
            "set-password",
            "ada",
            "--password",
            "x",
        ],
    ] {
        assert!(Arguments::try_parse_from(arguments).is_err());
    }
}
