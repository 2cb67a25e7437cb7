//! What access points are named after when nobody says: for the API in WEKA's shape, where that is a setting of the cluster.

use serde::{Deserialize, Serialize};
use tintype_store::DocumentChange;

use crate::convert::store_error;
use crate::error::{AppError, AppResult};
use crate::open::App;

const KIND: &str = "setting";
const NAME: &str = "access-point-naming";
const OBJECT: &str = "setting access-point-naming";

/// What an access point is named after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessPointNaming {
    /// The time: `@GMT-YYYY.MM.DD-HH.MM.SS`.
    #[default]
    Date,
    /// The name of the snapshot.
    Name,
}

impl App {
    /// The convention.
    pub fn access_point_naming(&self) -> AppResult<AccessPointNaming> {
        let found = self.store()?.document(KIND, NAME).map_err(|e| store_error(OBJECT, &e))?;
        let Some(text) = found else { return Ok(AccessPointNaming::default()) };
        serde_json::from_slice(&text).map_err(|e| unfit(&e))
    }

    /// Changes it, for snapshots to come.
    pub fn set_access_point_naming(&self, naming: AccessPointNaming) -> AppResult<()> {
        let value = Some(serde_json::to_vec(&naming).map_err(|e| unfit(&e))?);
        let change = DocumentChange { kind: KIND, name: NAME.to_owned(), value };
        self.store()?.put_documents(&[change]).map_err(|e| store_error(OBJECT, &e))
    }
}

fn unfit(error: &serde_json::Error) -> AppError {
    AppError::invalid(OBJECT, error.to_string(), "It is date or name.")
}
