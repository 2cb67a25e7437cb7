//! Where Backblaze keeps an account's buckets: told to whoever has a key.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Agent;

use crate::backend::web::{self, body};

/// The same for all accounts.
pub const AUTHORIZE: &str = "https://api.backblazeb2.com/b2api/v2/b2_authorize_account";

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "s3ApiUrl")]
    s3: String,
}

/// The address of the account's S3 interface.
pub fn s3_endpoint(authorize: &str, key: &str, secret: &str, agent: &Agent) -> io::Result<String> {
    let login = format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")));
    let answer = agent.get(authorize).header("Authorization", login).call();
    let answer = answer.map_err(web::transport)?;
    let status = answer.status();
    if !status.is_success() {
        let kind = match status.as_u16() {
            401 | 403 => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        return Err(io::Error::new(kind, format!("Backblaze answers {status} to this key")));
    }
    let text = body::read(answer, body::Wanted::Whole)?;
    let account: Account = serde_json::from_slice(&text)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
    Ok(account.s3.trim_end_matches('/').to_owned())
}
