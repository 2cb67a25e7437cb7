//! From the name of a place to an adapter: what else is needed to get in, and which adapter serves which kind.
//!
//! Values only: which variables and files they come from is the edge's affair.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{
    Backend, BackendError, LocalFolder, Location, Notice, Patience, PlaceOptions, Rclone,
    RestBackend, RestOptions, Result, Retrying, Secret,
};

/// What a place asks for before it opens, and how patient to be with it.
#[derive(Clone, Default)]
pub struct Access {
    /// User for a REST server when its URL names none.
    pub rest_username: Option<String>,
    /// Password for a REST server when its URL has none.
    pub rest_password: Option<Secret>,
    /// Certificates (PEM, one or more) that a server is checked against instead of the system's.
    pub ca_certificates: Option<Vec<u8>>,
    /// A certificate with its key (PEM) for servers that ask who we are.
    pub client_certificate: Option<Secret>,
    /// Variables that places of some kinds take their logins from, by their names: those of [`variables`].
    pub environment: BTreeMap<String, Secret>,
    /// Fine settings, `-o KIND.NAME=VALUE` on a command line.
    pub options: PlaceOptions,
    /// How long failures that pass are waited out. Not used for local folders.
    pub patience: Patience,
    /// Told before each pause.
    pub notice: Option<Arc<Notice>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("rest_username", &self.rest_username)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// The names of all variables that go into [`Access::environment`].
pub fn variables() -> &'static [&'static str] {
    &VARIABLES
}

/// restic's names; WebDAV, which it does not have, is ours.
const VARIABLES: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_ACCESS_TOKEN",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "WEBDAV_USERNAME",
    "WEBDAV_PASSWORD",
];

/// The adapter for a place. Nothing is asked of the place yet, so that one that does not answer is found by the first call.
///
/// # Errors
///
/// [`BackendError::Unsupported`] for kinds without an adapter, [`BackendError::Io`] when the certificates are none.
pub fn open_location(location: &Location, access: &Access) -> Result<Arc<dyn Backend>> {
    match location {
        Location::Local(path) => Ok(Arc::new(LocalFolder::new(path))),
        Location::Rest(url) => {
            let options = RestOptions {
                username: access.rest_username.clone(),
                password: access.rest_password.clone(),
                ca_certificates: access.ca_certificates.clone(),
                client_certificate: access.client_certificate.clone(),
                ..RestOptions::default()
            };
            Ok(patient(RestBackend::new(url, options)?, access))
        }
        Location::Rclone { remote } => Ok(patient(Rclone::new(remote, &access.options)?, access)),
        #[cfg(feature = "remote")]
        Location::S3 { .. }
        | Location::Azure(_)
        | Location::Google(_)
        | Location::B2(_)
        | Location::WebDav(_) => Ok(patient(super::Cloud::new(location, access)?, access)),
        #[cfg(feature = "remote")]
        Location::Sftp { .. } => Ok(patient(super::Sftp::new(location, &access.options)?, access)),
        other => Err(BackendError::Unsupported { kind: other.kind(), location: other.to_string() }),
    }
}

/// Around an adapter for what lies behind a network.
fn patient(place: impl Backend + 'static, access: &Access) -> Arc<dyn Backend> {
    let place = Retrying::new(place, access.patience);
    match access.notice.clone() {
        Some(notice) => Arc::new(place.with_notice(move |e, pause| notice(e, pause))),
        None => Arc::new(place),
    }
}
