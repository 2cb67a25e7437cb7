//! What the API can be asked, as data: method, path, who may, what goes in and what comes out.
//!
//! One value per operation. Routes, the check of roles and queries, and the OpenAPI document are all made from it, so they cannot say
//! different things. It does no work itself.

use std::sync::Arc;

use axum::http::Method;
use tintype_app::{AppError, AppResult};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ContentBuilder, KnownFormat, ObjectBuilder, RefOr, SchemaFormat, Type};

use super::asked::Pairs;
use super::meter::Meter;
use super::roles::Access;

/// What the value of a query parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A time as in RFC 3339.
    Time,
}

/// A query parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub text: &'static str,
    /// What it holds.
    pub value: Value,
    /// It must be there.
    pub required: bool,
    /// It may be there several times.
    pub many: bool,
}

/// What a body holds.
#[derive(Clone)]
pub enum Content {
    /// Nothing.
    Nothing,
    /// JSON of this schema; the other schemas are those that it names.
    Json(Box<RefOr<Schema>>, Vec<(String, RefOr<Schema>)>),
    /// Bytes of this media type.
    Bytes(&'static str),
    /// Text of this media type, in which values of these schemas come one by one.
    Lines(&'static str, Vec<(String, RefOr<Schema>)>),
}

/// One operation.
#[derive(Clone)]
pub struct Operation {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/api/v1`, with `{names}`.
    pub path: String,
    /// Its name, unique in the API.
    pub id: String,
    /// One line for people.
    pub summary: &'static str,
    /// Who may ask for it.
    pub access: Access,
    /// Query parameters.
    pub query: Vec<Param>,
    /// What goes in.
    pub body: Content,
    /// What comes out.
    pub answer: Content,
    /// It can become a task.
    pub long: bool,
    /// It can carry a key, and is done once then.
    pub once: bool,
    /// What it was asked for.
    pub meter: Arc<Meter>,
}

/// The part of an operation that its resource writes down.
#[derive(Clone)]
pub struct Spec {
    pub(super) id: String,
    pub(super) summary: &'static str,
    pub(super) query: Vec<Param>,
    pub(super) long: bool,
    pub(super) once: bool,
}

/// An operation of this name.
pub fn named(id: impl Into<String>, summary: &'static str) -> Spec {
    Spec { id: id.into(), summary, query: Vec::new(), long: false, once: false }
}

impl Spec {
    /// It can take long: who prefers that gets a task.
    pub fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// It makes something: with a key of the client's it is done once.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// With a query parameter.
    pub fn query(mut self, name: &'static str, value: Value, text: &'static str) -> Self {
        self.query.push(Param { name, text, value, required: false, many: false });
        self
    }

    /// With a query parameter that must be there.
    pub fn must(self, name: &'static str, value: Value, text: &'static str) -> Self {
        self.last(name, value, text, |param| param.required = true)
    }

    /// With a query parameter that may be there several times.
    pub fn many(self, name: &'static str, value: Value, text: &'static str) -> Self {
        self.last(name, value, text, |param| param.many = true)
    }

    fn last(
        self,
        name: &'static str,
        value: Value,
        text: &'static str,
        change: impl FnOnce(&mut Param),
    ) -> Self {
        let mut spec = self.query(name, value, text);
        spec.query.last_mut().map(change);
        spec
    }
}

impl Operation {
    /// Refuses what it does not know: a misspelt filter must not delete more than was meant.
    pub fn check(&self, pairs: &Pairs) -> AppResult<()> {
        for (at, (key, text)) in pairs.iter().enumerate() {
            let Some(param) = self.query.iter().find(|param| param.name == key) else {
                return Err(self.unknown(key));
            };
            let before = pairs.iter().take(at).any(|(other, _)| other == key);
            if before && !param.many {
                let object = format!("query {key}");
                return Err(AppError::invalid(object, "is there twice", "Write it once."));
            }
            param.check(text)?;
        }
        let missing =
            |param: &&Param| param.required && !pairs.iter().any(|(key, _)| key == param.name);
        match self.query.iter().find(missing) {
            None => Ok(()),
            Some(param) => Err(AppError::invalid(
                format!("query {}", param.name),
                "is missing",
                format!("It is: {}.", param.text),
            )),
        }
    }

    fn unknown(&self, key: &str) -> AppError {
        let known: Vec<&str> = self.query.iter().map(|param| param.name).collect();
        let remedy = match known.as_slice() {
            [] => "Leave it out: nothing can be asked for here.".to_owned(),
            known => format!("Known: {}.", known.join(", ")),
        };
        AppError::invalid("query", format!("{key:?} is not known here"), remedy)
    }
}

impl Param {
    fn check(&self, text: &str) -> AppResult<()> {
        let (fits, remedy) = match self.value {
            Value::Text => (true, ""),
            Value::Flag => (flag(text).is_some(), "Write true or false."),
            Value::Number => (text.parse::<u64>().is_ok(), "Write a whole number."),
            Value::Time => (
                text.parse::<jiff::Timestamp>().is_ok(),
                "Write a time as in RFC 3339: 2026-11-21T10:30:00Z.",
            ),
        };
        if fits {
            return Ok(());
        }
        let (object, detail) = (format!("query {}", self.name), format!("{text:?} does not fit"));
        Err(AppError::invalid(object, detail, remedy))
    }

    /// How it is described.
    pub fn schema(&self) -> RefOr<Schema> {
        let one = ObjectBuilder::new();
        let one = match self.value {
            Value::Text => one.schema_type(Type::String),
            Value::Flag => one.schema_type(Type::Boolean),
            Value::Number => one.schema_type(Type::Integer).minimum(Some(0)),
            Value::Time => one
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        };
        let one = RefOr::T(Schema::Object(one.build()));
        if self.many {
            return RefOr::T(Schema::Array(
                utoipa::openapi::ArrayBuilder::new().items(one).build(),
            ));
        }
        one
    }
}

/// A flag; one without a value is set.
pub fn flag(text: &str) -> Option<bool> {
    match text {
        "" | "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

impl Content {
    /// As the content of a body, with its media type.
    pub fn described(&self) -> Option<(&'static str, utoipa::openapi::Content)> {
        match self {
            Self::Nothing => None,
            Self::Json(schema, _) => Some((
                "application/json",
                ContentBuilder::new().schema(Some(RefOr::clone(schema))).build(),
            )),
            Self::Bytes(media) | Self::Lines(media, _) => {
                let schema = if matches!(self, Self::Bytes(_)) { bytes() } else { text() };
                Some((*media, ContentBuilder::new().schema(Some(schema)).build()))
            }
        }
    }

    /// The named schemas in it.
    pub fn schemas(&self) -> &[(String, RefOr<Schema>)] {
        match self {
            Self::Json(_, schemas) | Self::Lines(_, schemas) => schemas,
            Self::Nothing | Self::Bytes(_) => &[],
        }
    }
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()))
}

fn bytes() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        let spec =
            named("x", "X").query("force", Value::Flag, "f").must("from", Value::Text, "a moment");
        Operation {
            method: Method::GET,
            path: "/x".into(),
            id: spec.id,
            summary: spec.summary,
            access: Access::Open,
            query: spec.query,
            body: Content::Nothing,
            answer: Content::Nothing,
            long: false,
            once: false,
            meter: Arc::default(),
        }
    }

    #[test]
    fn queries_are_known_once_and_fit() {
        let check = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            operation().check(&pairs).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[("from", "a"), ("force", "true")]), Ok(()));
        assert!(check(&[("from", "a"), ("focre", "true")]).unwrap_err().contains("focre"));
        assert!(check(&[("from", "a"), ("force", "maybe")]).unwrap_err().contains("maybe"));
        assert!(check(&[("from", "a"), ("from", "b")]).unwrap_err().contains("twice"));
        assert!(check(&[]).unwrap_err().contains("is missing"));
    }
}
