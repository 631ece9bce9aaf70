//! Prints every key with what it is for: a file that is valid as it is, and changes nothing.

use std::fmt::Write as _;

use super::{
    layers::variable,
    settings::{KEYS, SECTIONS},
};

/// The whole configuration at its defaults, as a commented TOML file.
pub fn describe() -> String {
    let mut out = String::from(HEAD);
    for (prefix, about) in SECTIONS {
        let _ = writeln!(out);
        for line in *about {
            let _ = writeln!(out, "#{line}");
        }
        if let Some(section) = prefix.strip_suffix('.') {
            let _ = writeln!(out, "[{section}]");
        }
        let of_section = KEYS.iter().filter(|key| match prefix.is_empty() {
            true => !key.path.contains('.'),
            false => key.path.starts_with(prefix),
        });
        for key in of_section {
            let _ = writeln!(out);
            for line in key.why {
                let _ = writeln!(out, "#{line}");
            }
            let _ = writeln!(out, "# {}. Variable: {}", capital(key.unit), variable(key.path));
            let name = key.path.strip_prefix(prefix).unwrap_or(key.path);
            let _ = writeln!(out, "{name} = {}", (key.default)());
        }
    }
    out.push_str(TOKEN_KEYS);
    out.push_str(AUTH_KEYS);
    out.push_str(NAMESPACES);
    out
}

fn capital(unit: &str) -> String {
    let mut letters = unit.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const HEAD: &str = "\
# The configuration of `throughline serve`, at its defaults: keep the lines that you change.
# A variable is stronger than this file, and a flag (`--set key=value`) than a variable.
";

const TOKEN_KEYS: &str = "
# The keys that session tokens are signed with: the first signs, all verify, so that keys rotate without ending
# sessions. Without any a random one is drawn, and no session outlives the process. A secret has at least 16 bytes;
# `openssl rand -base64 32` makes one. No variable: secrets of this kind belong into a file.
#
# [[token_keys]]
# id = \"a\"
# secret_file = \"/run/secrets/throughline-token-key\" # or secret = \"…\"
";

const AUTH_KEYS: &str = "
# The keys that clients' tokens are proven by. Each has one algorithm: HS256, HS384 and HS512 with a secret of at least 32
# bytes, or a public key in PEM for RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA. The `kid` of a token
# names a key by its id; one without is tried with each key of its algorithm. See docs/authentication.md.
#
# [[auth.keys]]
# id = \"2026-01\"
# algorithm = \"HS256\"
# secret_file = \"/run/secrets/throughline-auth-key\" # or secret = \"…\", or public_key_file = \"…\"
";

const NAMESPACES: &str = "
# Who may do what in the channels of a namespace, which is what precedes the first `:` of a channel; \"*\" is all others.
# Each is one of nobody, granted, owner, users, anyone; these are the defaults. They count where there are keys in
# [[auth.keys]], or a rule.
#
# And what a session gets of a channel in which it falls behind: `replay`, everything that is held; `latest`, the newest of
# each key, and a gap for those before; `gap`, the newest, behind a gap. It is behind with more than `slow_events` events of a
# channel unsent, or `slow_bytes` bytes of their payloads. One that says only this has the rules of all others.
#
# [[namespaces]]
# name = \"*\"
# subscribe = \"users\"
# publish = \"granted\"
# presence = \"granted\"
# history = \"users\"
# slow = \"replay\"
# slow_events = 256
# slow_bytes = 65536
";
