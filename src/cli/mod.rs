//! The command line: `serve`, and what a person needs beside it.
//!
//! Here are the arguments; each command has its file. [`config`] says what can be set, and `logs` where words go:
//! what a command is asked for to the standard output, everything else to the standard error.

mod admin_client;
pub mod config;
mod listen;
mod logs;
mod publish;
mod serve;
mod token;

use std::{
    io,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Parser, Subcommand};
use config::Layers;

/// Reads the arguments and does as they say.
pub fn run() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughline: {error:#}");
            ExitCode::from(if error.is::<config::Problems>() { 2 } else { 1 })
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments.settings()?),
        Command::Check { file } => {
            let mut layers = Layers::default();
            layers.add_file(&file);
            layers.finish()?;
            println!("{}: nothing is wrong", file.display());
            Ok(())
        }
        Command::Config => {
            io::stdout().write_all(config::describe().as_bytes())?;
            Ok(())
        }
        Command::Publish(arguments) => publish::run(arguments),
        Command::Listen(arguments) => listen::run(arguments),
        Command::Token(arguments) => token::run(&arguments),
    }
}

/// The clock on the wall, in milliseconds since the Unix epoch.
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A real-time gateway: one session over WebTransport, WebSocket, server-sent events and long-polling.
#[derive(Debug, Parser)]
#[command(name = "throughline", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway. Needs no configuration.
    #[command(args_override_self = true)]
    Serve(Box<ServeArguments>),
    /// Say what is wrong with a configuration file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print every key of the configuration with its default, its unit and what it is for: a valid file.
    Config,
    /// Publish an event, by the admin API of a running gateway.
    Publish(publish::Arguments),
    /// Subscribe to channels, and print what comes. Ends with Ctrl-C.
    Listen(listen::Arguments),
    /// Make a token for a user, by the first secret in `[[auth.keys]]` of a configuration: for development.
    Token(token::Arguments),
}

/// The configuration comes from a file, from variables `THROUGHLINE_…` and from these flags, each stronger than the one
/// before. `throughline config` prints all keys.
#[derive(Debug, Args)]
struct ServeArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "THROUGHLINE_CONFIG")]
    config: Option<PathBuf>,
    /// Where clients connect: `listen`.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Where the admin API is: `admin.listen`.
    #[arg(long, value_name = "IP:PORT")]
    admin_listen: Option<String>,
    /// An origin whose pages may connect; may be given again: `origins`.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// The path that the gateway is mounted at: `base_path`.
    #[arg(long, value_name = "PATH")]
    base_path: Option<String>,
    /// Let anybody in beyond loopback: `anonymous`.
    #[arg(long)]
    anonymous: bool,
    /// Which log lines to write: `log.filter`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// `text` or `json`: `log.format`.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any other key; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ServeArguments {
    /// What the file, the environment and the flags say together.
    fn settings(&self) -> Result<config::Settings, config::Problems> {
        let mut layers = Layers::default();
        if let Some(file) = &self.config {
            layers.add_file(file);
        }
        layers.add_environment(std::env::vars_os());
        for setting in &self.set {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            layers.add_flag("--set", key, value);
        }
        let flags = [
            ("--listen", "listen", &self.listen),
            ("--admin-listen", "admin.listen", &self.admin_listen),
            ("--base-path", "base_path", &self.base_path),
            ("--log", "log.filter", &self.log),
            ("--log-format", "log.format", &self.log_format),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                layers.add_flag(flag, key, value);
            }
        }
        if !self.origins.is_empty() {
            layers.add_flag("--origin", "origins", &self.origins.join(","));
        }
        if self.anonymous {
            layers.add_flag("--anonymous", "anonymous", "true");
        }
        layers.finish()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_argument_has_a_name_of_its_own() {
        Arguments::command().debug_assert();
    }
}
