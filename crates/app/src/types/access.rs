//! Users, tokens and sessions as the edges see them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::{Span, TokenName, UserName};
use utoipa::ToSchema;

use super::schema;
use crate::error::AppError;

/// What somebody may do. Each role may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Reader,
    /// Makes, changes and deletes volumes and snapshots.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// As on wires.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = AppError;

    fn from_str(text: &str) -> Result<Self, AppError> {
        let all = [Self::Reader, Self::Operator, Self::Admin];
        all.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            let remedy = "Write reader, operator or admin.";
            AppError::invalid(format!("role {text:?}"), "does not exist", remedy)
        })
    }
}

/// A password or a token. It is in no log: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(format = Password, example = "...")]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A wish for a new user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The name.
    #[schema(value_type = schema::VolumeName)]
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// At least 8 bytes.
    pub password: Secret,
}

/// Changes of a user; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// What the user may do from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// A new password. All sessions of the user end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// A change of one's own password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one of now.
    pub old: Secret,
    /// The one to be: at least 8 bytes.
    pub new: Secret,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserInfo {
    /// The name.
    #[schema(value_type = schema::VolumeName)]
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// Since when there is this user.
    pub created: Timestamp,
}

/// A wish for an API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// What it is listed by.
    #[schema(value_type = schema::VolumeName)]
    pub name: TokenName,
    /// What it may do: no more than who asks for it.
    pub role: Role,
    /// How long it is valid; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Span>)]
    pub expires_after: Option<Span>,
}

/// An API token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// What it is listed by.
    #[schema(value_type = schema::VolumeName)]
    pub name: TokenName,
    /// Whose it is; `null` when it was made on the server's socket.
    #[schema(value_type = Option<schema::VolumeName>)]
    pub user: Option<UserName>,
    /// What it may do, as long as its user may.
    pub role: Role,
    /// Since when it is valid.
    pub created: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// What is known of it.
    pub info: TokenInfo,
    /// The token itself. It is shown this once.
    pub token: Secret,
}

/// Who wants a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The name.
    #[schema(value_type = schema::VolumeName)]
    pub user: UserName,
    /// The password.
    pub password: Secret,
}

/// Who wants a session to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// As the session's last answer gave it. It is good for one use.
    pub refresh_token: Secret,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionMade {
    /// To be sent as `Authorization: Bearer TOKEN`.
    pub access_token: Secret,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// For the next access token.
    pub refresh_token: Secret,
    /// Seconds until that ends, and the session with it.
    pub refresh_expires_in: u64,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoamiInfo {
    /// The user; `null` on the server's own socket and for tokens that were made there.
    #[schema(value_type = Option<schema::VolumeName>)]
    pub user: Option<UserName>,
    /// What may be done.
    pub role: Role,
    /// `socket`, `token` or `session`.
    pub by: String,
}

/// The session has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogoutInfo {
    /// There was one.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_one_another_and_secrets_are_hidden() {
        assert!(Role::Reader < Role::Operator && Role::Operator < Role::Admin);
        assert!("root".parse::<Role>().is_err());
        let login =
            LoginRequest { user: "a".parse().unwrap(), password: Secret("hunter22".into()) };
        assert!(!format!("{login:?}").contains("hunter22"));
    }
}
