//! The picture of the screen in the documentation, `docs/images/demo.svg`: the output of [`draw`] as a terminal shows
//! it. `make reference` writes it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    cli::demo::{
        ledger::Counts,
        machines::{Calls, Figures},
        reading::{Reading, values},
        rhythm::Day,
        view::Rates,
    },
    login::LoginFailure,
};

/// The width of the pictured terminal, in columns.
const COLUMNS: u16 = 84;

/// The size of a character, and the empty space around the screen, in pixels.
const WIDTH: usize = 9;
const HEIGHT: usize = 20;
const MARGIN: usize = 20;
const TITLE_BAR: usize = 44;

/// What a demo with the seed 1 showed after 4:48, half a minute after the attack of the second day.
fn lines() -> Vec<String> {
    let elapsed = Duration::from_millis(288_200);
    let mut rates = Rates::default();
    rates.note(Duration::from_secs(278), [519, 77]);
    rates.note(elapsed, [547, 80]);
    let machine = |authenticated, refused, over_limit, limits: [_; 2]| Figures {
        authenticated: Some(authenticated),
        refused: std::array::from_fn(|reason| Some(if reason == 0 { refused } else { 0 })),
        over_limit: Some(over_limit),
        limits: limits.map(|limit: Option<(u64, u64)>| limit.unzip()),
        health: Some("healthy"),
        ..Figures::default()
    };
    let reading = Reading {
        failures: values(
            0,
            &[
                (LoginFailure::InvalidCredentials, 60),
                (LoginFailure::AccountLocked, 9),
                (LoginFailure::AccountDisabled, 5),
                (LoginFailure::RateLimited, 3),
                (LoginFailure::CrossSite, 3),
            ],
        ),
        ended: [402, 58, 42, 10, 0, 15, 0].map(Some),
        active: Some(45),
        sessions: [26, 11, 5, 3].map(Some),
        users: [21, 9, 4, 3].map(Some),
        machines: [
            machine(310, 13, 0, [Some((0, 40)), None]),
            machine(28, 23, 28, [Some((0, 5)), Some((20, 20))]),
            machine(198, 18, 0, [Some((0, 20)), None]),
        ],
        ..Reading::default()
    };
    let news = [
        "12:48  an account got the role superuser; its sessions follow",
        "11:37  an account got the role user; its sessions follow",
        "11:29  too many guesses: rejected (429), retry in 5 s",
        "11:03  attack from one network: 28 guesses, half of them at one account",
        "10:51  all sessions of one account were revoked",
        "09:52  an account got the role admin; its sessions follow",
        "08:38  all sessions of one account were revoked",
        "08:37  an account got the role user; its sessions follow",
    ];
    let view = View {
        time: Day::lasting(Duration::from_mins(4)).time(elapsed),
        elapsed,
        length: None,
        reading: Some(&reading),
        rates: &rates,
        counts: Counts {
            logins: [547, 65, 12, 3, 0],
            other_requests: 2586,
            calls: Calls {
                authenticated: 536,
                refused: [54, 0, 0, 0],
                ..Calls::default()
            },
            ..Counts::default()
        },
        news: &news.map(String::from),
    };
    view.lines(COLUMNS)
}

/// A character of the screen, and whether it is bold.
type Cell = (char, bool);

/// Returns the rows that a terminal shows after it has received `frame`.
fn shown(frame: &str) -> Vec<Vec<Cell>> {
    let (mut rows, mut row, mut bold) = (Vec::new(), Vec::new(), false);
    // It begins with an escape sequence.
    for part in frame.split("\x1b[").skip(1) {
        let end = part.find(|it: char| it.is_ascii_alphabetic()).unwrap();
        let (command, text) = part.split_at(end + 1);
        match command {
            "1m" => bold = true,
            "0m" => bold = false,
            _ => {}
        }
        for character in text.chars() {
            match character {
                '\n' => rows.push(std::mem::take(&mut row)),
                _ => row.push((character, bold)),
            }
        }
    }
    rows
}

/// Returns the lines of a character that is part of a frame, from its top left corner. They are drawn, because in many
/// fonts these characters leave gaps between rows.
fn strokes(character: char) -> Option<&'static str> {
    Some(match character {
        '─' => "m0 10h9",
        '═' => "m0 8.5h9m-9 3h9",
        '│' => "m4.5 0v20",
        '┆' => "m4.5 3v5m0 5v5",
        '┌' => "m9 10h-4.5v10",
        '┐' => "m0 10h4.5v10",
        '└' => "m4.5 0v10h4.5",
        '┘' => "m4.5 0v10h-4.5",
        '┬' => "m0 10h9m-4.5 0v10",
        '┴' => "m0 10h9m-4.5-10v10",
        '╞' => "m4.5 0v20m0-11.5h4.5m-4.5 3h4.5",
        '╡' => "m4.5 0v20m0-11.5h-4.5m4.5 3h-4.5",
        '╪' => "m0 8.5h9m-9 3h9m-4.5-11.5v20",
        _ => return None,
    })
}

/// Returns the words of a row that only single spaces separate, each group with its column.
fn words(row: &[Cell]) -> Vec<(usize, String, bool)> {
    let mut groups: Vec<(usize, String, bool)> = Vec::new();
    for (column, (character, bold)) in row.iter().enumerate() {
        if *character == ' ' || strokes(*character).is_some() {
            continue;
        }
        match groups.last_mut() {
            Some((start, text, it)) if it == bold && *start + text.chars().count() == column => {
                text.push(*character);
            }
            Some((start, text, it))
                if it == bold && *start + text.chars().count() + 1 == column =>
            {
                text.push(' ');
                text.push(*character);
            }
            _ => groups.push((column, character.to_string(), *bold)),
        }
    }
    groups
}

fn svg(rows: &[Vec<Cell>]) -> String {
    let width = usize::from(COLUMNS) * WIDTH + 2 * MARGIN;
    let height = TITLE_BAR + rows.len() * HEIGHT + MARGIN;
    let mut frames = String::new();
    let mut texts = String::new();
    for (number, row) in rows.iter().enumerate() {
        let top = TITLE_BAR + number * HEIGHT;
        for (column, (character, _)) in row.iter().enumerate() {
            if let Some(strokes) = strokes(*character) {
                let left = MARGIN + column * WIDTH;
                write!(frames, "M{left} {top}{strokes}").unwrap();
            }
        }
        for (column, text, bold) in words(row) {
            let (left, base) = (MARGIN + column * WIDTH, top + 15);
            let long = text.chars().count() * WIDTH;
            let weight = if bold {
                r##" font-weight="bold" fill="#fff""##
            } else {
                ""
            };
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(
                texts,
                r#"<text x="{left}" y="{base}" textLength="{long}"{weight}>{text}</text>"#
            )
            .unwrap();
        }
    }
    let middle = width / 2;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<!-- Written by `make reference` from src/cli/demo/screen/picture.rs. -->
<title>skriptoteket demo in a terminal</title>
<rect x=".5" y=".5" width="{}" height="{}" rx="8" fill="#0d1117" stroke="#30363d"/>
<circle cx="22" cy="20" r="6" fill="#ff5f57"/><circle cx="42" cy="20" r="6" fill="#febc2e"/><circle cx="62" cy="20" r="6" fill="#28c840"/>
<text x="{middle}" y="25" font-family="system-ui, sans-serif" font-size="14" text-anchor="middle" fill="#8b949e">skriptoteket demo</text>
<path fill="none" stroke="#6e7681" d="{frames}"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="15" fill="#c9d1d9" lengthAdjust="spacingAndGlyphs">
{texts}</g>
</svg>
"##,
        width - 1,
        height - 1,
    )
}

fn picture() -> String {
    let mut frame = Vec::new();
    draw(&mut frame, 0, &lines()).unwrap();
    svg(&shown(&String::from_utf8(frame).unwrap()))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/demo.svg")
}

#[test]
fn the_picture_in_the_documentation_is_what_the_demo_draws() {
    let found = fs::read_to_string(file()).unwrap();
    assert!(
        found == picture(),
        "docs/images/demo.svg is outdated: `make reference` draws it"
    );
}

#[test]
#[ignore = "writes the picture, for `make reference`"]
fn draw_the_picture() {
    fs::write(file(), picture()).unwrap();
}
