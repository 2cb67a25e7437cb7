//! The reference of the configuration file, as it is committed in `docs/configuration.md`.

use super::keys::{KEYS, Key, Kind};
use super::last;

/// All of it.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| key | option of `up` | holds | meaning |\n| --- | --- | --- | --- |\n");
    for key in KEYS {
        let holds = match key.kind {
            Kind::Text => "text",
            Kind::Path => "path",
            Kind::Flag => "true or false",
        };
        text.push_str(&format!("| `{}` | `{}` | {holds} | {} |\n", key.name, key.option, key.text));
    }
    text.push_str("\nAll of them, as examples:\n\n```toml\n");
    let mut table = "";
    for key in KEYS {
        let of = key.name.split_once('.').map_or("", |(table, _)| table);
        if of != table {
            text.push_str(&format!("\n[{of}]\n"));
            table = of;
        }
        text.push_str(&example(key));
    }
    text.push_str("```\n");
    text
}

fn example(key: &Key) -> String {
    format!("{} = {}\n", last(key), key.example)
}

const HEAD: &str = "# The configuration file

<!-- Generated: `cargo run -p tintype-cli -- config reference > docs/configuration.md` -->

`tintype up --config FILE` reads a file in TOML. Without the option, it is `TINTYPE_CONFIG`, else `tintype/config.toml` in the folder of the user's configuration
(`$XDG_CONFIG_HOME`, else `~/.config`; for root `/etc/tintype/config.toml`), if there is one. What the command line and its variables say goes before the file. The options
that choose a certificate go together: when the command line has one of `--tls-cert`, `--tls-key`, `--tls-self-signed` and `--insecure-listen`, the file's are not looked at; the same for those of
disks. Relative paths count from the folder of the file.

An unknown key, a key that is there twice, and a value of another kind are errors that name the line, and the key that was most likely meant: a misspelt option must not be silently off.
`tintype config check [FILE]` reads the file and says whether a server would start with it. No secret belongs into it: certificates, keys and tokens are files of their own.

";

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_reference_is_what_is_read() {
        let committed = include_str!("../../../../docs/configuration.md");
        assert!(
            committed == super::reference(),
            "docs/configuration.md is old: `cargo run -p tintype-cli -- config reference > docs/configuration.md` writes it anew"
        );
    }

    #[test]
    fn the_examples_are_read() {
        let text = super::reference();
        let (_, toml) = text.split_once("```toml\n").unwrap();
        let toml = toml.split("```").next().unwrap();
        let file = std::path::Path::new("/etc/tintype/config.toml");
        assert!(super::super::Config::parse(toml, file).unwrap().flag("listen.tls_self_signed"));
    }
}
