//! `tintype completions SHELL`: generated from the definitions of the commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `completions`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let script = script(args.shell);
    if global.json {
        let text = String::from_utf8_lossy(&script);
        return output::json(&serde_json::json!({"shell": args.shell.to_string(), "script": text}));
    }
    output::print(&script)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tintype", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            assert!(script.contains("snapshot"), "{shell}");
        }
    }
}
