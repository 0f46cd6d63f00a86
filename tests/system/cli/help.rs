//! `--help` of every command in a terminal of 80 columns.

use crate::cli::harness::Harness;

/// Returns the help text of a command, wrapped at this width.
fn help(command: &[String], long: bool, columns: u16) -> String {
    let harness = Harness::new().with("COLUMNS", &columns.to_string());
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push(if long { "--help" } else { "-h" });
    harness.done(&arguments)
}

/// Returns the command and all its subcommands.
fn all(command: &[String]) -> Vec<Vec<String>> {
    let help = help(command, false, 100);
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    // Continuation lines of a description are indented further.
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names
        .filter_map(|it| it.split_whitespace().next())
        .collect();
    let mut found = vec![command.to_vec()];
    for name in names.into_iter().filter(|name| *name != "help") {
        found.extend(all(&[command, &[name.to_owned()]].concat()));
    }
    found
}

/// Returns true if a line of a paragraph ends before the terminal width is used.
fn is_broken(line: &str, next: &str) -> bool {
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
    let word = next.split(' ').next().unwrap_or_default();
    is_prose(line) && is_prose(next) && line.chars().count() + 1 + word.chars().count() <= 80
}

#[test]
fn nothing_in_it_is_broken_in_the_wrong_place() {
    let commands = all(&[]);
    assert!(commands.len() > 30, "{commands:?}");
    for command in commands {
        for long in [false, true] {
            let (narrow, wide) = (help(&command, long, 80), help(&command, long, 100));
            let lines: Vec<&str> = narrow.lines().collect();
            for line in &lines {
                assert!(line.chars().count() <= 80, "{command:?}: {line}");
            }
            for pair in lines.windows(2) {
                assert!(!is_broken(pair[0], pair[1]), "{command:?}: {pair:?}");
            }
            // Examples and tables after the options have fixed line breaks, which must be kept.
            let written =
                |line: &&str| line.starts_with("Example") || line.starts_with("Exit codes");
            let after = wide.lines().skip_while(|line| !written(line));
            for line in after.filter(|line| line.starts_with("  ")) {
                assert!(lines.contains(&line), "{command:?}: wrapped: {line}");
            }
        }
    }
}
