//! The description of the API as an OpenAPI document, made from the operations that are served.
//!
//! It is committed as `docs/openapi.json`; a test compares.

use axum::http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, ObjectBuilder, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder, Type,
};

use tintype_app::types::TaskInfo;

use super::operation::{Content, Operation, Param};
use super::resource::Resource;
use super::roles::Access;
use crate::problem::ProblemDocument;

/// Where it is served.
pub const PATH: &str = "/api/v1/openapi.json";
/// The media type of failures.
const PROBLEM: &str = "application/problem+json";

/// The document, as text with one value a line.
pub fn document(resources: &[Resource]) -> String {
    let operations = || resources.iter().flat_map(|r| r.operations.iter().map(move |o| (r.tag, o)));
    let paths = operations().fold(PathsBuilder::new(), |mut paths, (tag, operation)| {
        let item =
            utoipa::openapi::PathItem::new(method(&operation.method), described(tag, operation));
        paths = paths.path(format!("/api/v1{}", operation.path), item);
        paths
    });
    let mut components =
        ComponentsBuilder::new().schema(ProblemDocument::name(), schema_of_problem());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components = components.security_scheme("token", SecurityScheme::Http(bearer));
    for (_, operation) in operations() {
        for content in [&operation.body, &operation.answer] {
            components = components.schemas_from_iter(content.schemas().iter().cloned());
        }
    }
    let tags = resources.iter().map(|resource| {
        TagBuilder::new().name(resource.tag).description(Some(resource.about)).build()
    });
    let info = InfoBuilder::new()
        .title("Tintype")
        .version("1")
        .description(Some("The native API. docs/api.md explains it with examples."));
    let document = OpenApiBuilder::new()
        .info(info.build())
        .paths(paths.build())
        .components(Some(components.build()))
        .tags(Some(tags))
        .build();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn schema_of_problem() -> RefOr<utoipa::openapi::schema::Schema> {
    <ProblemDocument as utoipa::PartialSchema>::schema()
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn described(tag: &str, operation: &Operation) -> utoipa::openapi::path::Operation {
    let parameters: Vec<Parameter> = names(&operation.path)
        .chain(operation.query.iter().map(in_query))
        .chain(headers(operation))
        .collect();
    let mut answer = ResponseBuilder::new().description("Done");
    if let Some((media, content)) = operation.answer.described() {
        answer = answer.content(media, content);
    }
    let problem = RefOr::Ref(Ref::from_schema_name(ProblemDocument::name()));
    let failure = ResponseBuilder::new()
        .description("It was refused or failed")
        .content(PROBLEM, ContentBuilder::new().schema(Some(problem)).build());
    let described = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(operation.id.clone()))
        .summary(Some(operation.summary))
        .description(Some(format!("For: {}.", operation.access.word())))
        .securities(Some(match operation.access {
            Access::Open => Vec::new(),
            Access::Needs(_) => vec![SecurityRequirement::new("token", [""; 0])],
        }))
        .parameters((!parameters.is_empty()).then_some(parameters))
        .request_body(operation.body.described().map(|(media, content)| {
            let required = matches!(operation.body, Content::Bytes(_));
            let required = if required { Required::True } else { Required::False };
            RequestBodyBuilder::new().content(media, content).required(Some(required)).build()
        }))
        .response("200", answer);
    let described = if operation.long {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(TaskInfo::name())));
        let answer = ResponseBuilder::new()
            .description("It goes on as a task, as was preferred")
            .content("application/json", content.build());
        described.response("202", answer)
    } else {
        described
    };
    described.response("default", failure).build()
}

/// The headers that change how an operation is served.
fn headers(operation: &Operation) -> impl Iterator<Item = Parameter> {
    let header = |name: &str, text: &str, schema: ObjectBuilder| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(text))
            .schema(Some(schema.schema_type(Type::String)))
            .build()
    };
    let later = "respond-async: answer 202 with a task that does it";
    let later = operation.long.then(|| header("Prefer", later, ObjectBuilder::new()));
    let key = "a key of the client's: the same request again within 24 hours gets the same answer";
    let length = ObjectBuilder::new().min_length(Some(1)).max_length(Some(255));
    let key = operation.once.then(|| header("Idempotency-Key", key, length));
    later.into_iter().chain(key)
}

/// The `{names}` of a path.
fn names(path: &str) -> impl Iterator<Item = Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(text))
            .build()
    })
}

fn in_query(param: &Param) -> Parameter {
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(ParameterIn::Query)
        .required(if param.required { Required::True } else { Required::False })
        .description(Some(param.text))
        .schema(Some(param.schema()))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::resources;

    #[test]
    fn the_committed_document_is_what_is_served() {
        let committed = include_str!("../../../../docs/openapi.json");
        assert!(
            committed == document(&resources()),
            "docs/openapi.json is old: `cargo run -p tintype-cli -- openapi > docs/openapi.json` writes it anew"
        );
    }

    #[test]
    fn operations_have_names_of_their_own_and_all_schemas_are_there() {
        let resources = resources();
        let operations = || resources.iter().flat_map(|resource| &resource.operations);
        let ids: BTreeSet<&str> = operations().map(|operation| operation.id.as_str()).collect();
        assert_eq!(ids.len(), operations().count());
        let text = document(&resources);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (_, rest) in
            text.match_indices("#/components/schemas/").map(|(at, m)| text.split_at(at + m.len()))
        {
            let name = rest.split('"').next().unwrap();
            assert!(value["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
