//! `chordite completions` and `chordite man`: generated from the same definition as the parser, the
//! configuration keys from the same table as their validation.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use node::config::keys;
use node::exit::Exit;

use super::failure::Failure;
use super::{Cli, print};

/// Print the completion script of a shell
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the manual page, or write one page for each command
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The folder to write chordite.1, chordite-serve.1 and so on to
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "chordite", &mut script);
        print::bytes(&script)?;
        Ok(Exit::Ok)
    }
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut command = Cli::command();
        command.build();
        let Some(out) = self.out else {
            print::bytes(&page(&command)?)?;
            return Ok(Exit::Ok);
        };
        std::fs::create_dir_all(&out).map_err(|error| cannot_write(&out, &error))?;
        write_pages(&command, &out)?;
        Ok(Exit::Ok)
    }
}

/// Writes the page of `command` and of everything below it.
fn write_pages(command: &clap::Command, out: &Path) -> Result<(), Failure> {
    let file = out.join(format!(
        "{}.1",
        command.get_display_name().unwrap_or(command.get_name())
    ));
    std::fs::write(&file, page(command)?).map_err(|error| cannot_write(&file, &error))?;
    let below = command
        .get_subcommands()
        .filter(|below| below.get_name() != "help");
    below
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| write_pages(below, out))
}

/// The page of one command; that of `serve` also has all configuration keys.
fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.map_err(|error| Failure::output(&error))?;
    if command.get_name() == "serve" {
        page.extend_from_slice(b".SH CONFIGURATION\n");
        for key in keys::KEYS {
            let (place, variable) = (key.section.place(), key.variable());
            let (allowed, default) = (key.allowed(), key.default_shown());
            let text = format!(
                ".TP\n\\fB{}\\fR ({place})\n{}. Allowed: {allowed}. Default: {default}. \
                 Variable: {variable}\n",
                roff(key.name),
                roff(key.doc),
            );
            page.extend_from_slice(text.as_bytes());
        }
    }
    Ok(page)
}

/// Text in which roff sees no escapes and no hyphens that are minus signs.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}
