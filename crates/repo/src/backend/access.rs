//! From the name of a place to an adapter: what else is needed to get in, and which adapter serves which kind.
//!
//! Values only: which variables and files they come from is the edge's affair.

use std::fmt;
use std::sync::Arc;

use super::{
    Backend, BackendError, LocalFolder, Location, Notice, Patience, RestBackend, RestOptions,
    Result, Retrying, Secret,
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
                ..RestOptions::default()
            };
            let rest = Retrying::new(RestBackend::new(url, options)?, access.patience);
            Ok(match access.notice.clone() {
                Some(notice) => Arc::new(rest.with_notice(move |e, pause| notice(e, pause))),
                None => Arc::new(rest),
            })
        }
        other => Err(BackendError::Unsupported { kind: other.kind(), location: other.to_string() }),
    }
}
