//! A group of operations: their routes and their descriptions, made from one declaration each.
//!
//! `get`, `post` and the others take what an operation is ([`named`](super::operation::named)) and the use case as a function. Types of bodies and
//! answers come from the function, so the document cannot name others. Everything of one request that is not the use case's happens
//! here: names, queries and bodies are read, refusals become problem documents, the work goes to the blocking pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request, State};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tintype_app::{App, AppError, AppResult};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};

use super::asked::{Asked, Call};
use super::deliver::Wish;
use super::operation::{Content, Operation, Spec};
use super::pages::{self, Listed};
use super::roles::{self, Access};
use super::{BODY_BYTES_MAX, Shared, broken, json_bytes};
use crate::problem::Problem;
use crate::who::Who;

/// How long a body of JSON may take.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Operations that belong together.
pub struct Resource {
    /// A word for them.
    pub tag: &'static str,
    /// What they are about.
    pub about: &'static str,
    /// Each of them.
    pub operations: Vec<Arc<Operation>>,
    router: Router<Shared>,
}

/// A body without anything in it.
pub struct NoBody;

/// What a body is read as.
pub trait RequestBody: Sized + Send + 'static {
    /// How it is described.
    fn content() -> Content;
    /// Takes its bytes.
    fn take(request: Request) -> impl Future<Output = Result<Bytes, Problem>> + Send;
    /// Reads them.
    fn read(bytes: &[u8]) -> Result<Self, Problem>;
}

impl RequestBody for NoBody {
    fn content() -> Content {
        Content::Nothing
    }

    async fn take(_: Request) -> Result<Bytes, Problem> {
        Ok(Bytes::new())
    }

    fn read(_: &[u8]) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned + ToSchema + Send + 'static> RequestBody for T {
    fn content() -> Content {
        json::<T>()
    }

    async fn take(request: Request) -> Result<Bytes, Problem> {
        read_body(request).await
    }

    /// None at all reads as `{}`.
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
        serde_json::from_slice(text).map_err(|error| {
            let remedy = "/api/v1/openapi.json and docs/cli.md describe the fields.";
            AppError::invalid("request body", error.to_string(), remedy).into()
        })
    }
}

impl Resource {
    /// None yet.
    pub fn new(tag: &'static str, about: &'static str) -> Self {
        Self { tag, about, operations: Vec::new(), router: Router::new() }
    }

    /// Reads something.
    pub fn get<T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        self.json(Method::GET, path, spec, move |call, NoBody| work(call))
    }

    /// Removes something.
    pub fn delete<T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        self.json(Method::DELETE, path, spec, move |call, NoBody| work(call))
    }

    /// Makes or does something.
    pub fn post<B: RequestBody, T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call, B) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        self.json(Method::POST, path, spec, work)
    }

    /// Puts something in its place.
    pub fn put<B: RequestBody, T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call, B) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        self.json(Method::PUT, path, spec, work)
    }

    /// Changes something.
    pub fn patch<B: RequestBody, T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call, B) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        self.json(Method::PATCH, path, spec, work)
    }

    fn json<B: RequestBody, T, F>(self, method: Method, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Call, B) -> AppResult<T> + Clone + Send + Sync + 'static,
    {
        let handler = move |State(shared): State<Shared>, request: Request| async move {
            let (asked, who) = (asked(&request), who(&request));
            let wish = wish(&request, &who)?;
            let bytes = B::take(request).await?;
            let body = B::read(&bytes)?;
            let work =
                move |app: &App| json_bytes(&work(&Call { app, asked: &asked, who: &who }, body)?);
            wish.serve(&shared, &bytes, Box::new(work)).await
        };
        self.bare(method, path, spec, B::content(), json::<T>(), handler)
    }

    /// Reads many of one sort, in pages if asked to.
    pub fn list<T, F>(self, path: &str, spec: Spec, work: F) -> Self
    where
        T: Serialize + ToSchema + Listed + Send + 'static,
        F: Fn(&Call) -> AppResult<Vec<T>> + Clone + Send + Sync + 'static,
    {
        let handler = move |State(shared): State<Shared>, request: Request| async move {
            let (asked, who) = (asked(&request), who(&request));
            // The router has taken the prefix away.
            let path = format!("/api/v1{}", request.uri().path());
            pages::answer(&shared, path, asked, who, work).await
        };
        let (items, schemas) = reference::<T>();
        let array = RefOr::T(Schema::Array(ArrayBuilder::new().items(items).build()));
        let content = Content::Json(Box::new(array), schemas);
        self.bare(
            Method::GET,
            path,
            pages::parameters::<T>(spec),
            Content::Nothing,
            content,
            handler,
        )
    }

    /// An operation whose handler does all by itself, but for names and queries: bodies as streams.
    pub fn bare<H, A>(
        mut self,
        method: Method,
        path: &str,
        spec: Spec,
        body: Content,
        answer: Content,
        handler: H,
    ) -> Self
    where
        H: Handler<A, Shared>,
        A: 'static,
    {
        let Spec { id, summary, query, long, once } = spec;
        let path = path.to_owned();
        let operation = Arc::new(Operation {
            method,
            path,
            access: roles::access(&id),
            id,
            summary,
            query,
            body,
            answer,
            long,
            once,
            meter: Arc::default(),
        });
        // Every method that is declared here has a filter.
        let filter = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::GET);
        let route =
            on(filter, handler).route_layer(from_fn_with_state(Arc::clone(&operation), admit));
        self.router = self.router.route(&operation.path, route);
        self.operations.push(operation);
        self
    }

    /// Its routes.
    pub fn router(&self) -> Router<Shared> {
        self.router.clone()
    }
}

/// All of a body.
pub async fn read_body(request: Request) -> Result<Bytes, Problem> {
    // What is announced as too long is not waited for.
    if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(Problem::too_large("is longer than the limit"));
    }
    let bytes = tokio::time::timeout(BODY_TIME, Bytes::from_request(request, &())).await;
    bytes.map_err(|_| Problem::too_slow())?.map_err(Problem::body)
}

/// What stands before every operation: whoever gets past it may be served.
async fn admit(State(operation): State<Arc<Operation>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let response = enter(&operation, request, next).await;
    operation.meter.note(response.status().as_u16(), began.elapsed());
    response
}

async fn enter(operation: &Arc<Operation>, request: Request, next: Next) -> Response {
    if let Err(error) = permit(operation, &request) {
        return Problem::from(error).into_response();
    }
    let (mut parts, body) = request.into_parts();
    match Asked::read(&mut parts, operation).await {
        Ok(asked) => {
            parts.extensions.insert(Arc::new(asked));
            parts.extensions.insert(Arc::clone(operation));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn permit(operation: &Operation, request: &Request) -> AppResult<()> {
    match operation.access {
        Access::Open => Ok(()),
        Access::Needs(role) => {
            let what = || format!("operation {}", operation.id);
            who(request).caller()?.must_be(role, &what())
        }
    }
}

/// How it wants to be served. The operation is there: [`admit`] has put it there.
fn wish(request: &Request, who: &Who) -> Result<Wish, Problem> {
    let operation = request.extensions().get::<Arc<Operation>>().cloned();
    let operation = operation.ok_or_else(|| broken(&"a request that was not admitted"))?;
    let place = request.uri().path_and_query().map_or("/", |place| place.as_str()).to_owned();
    Wish::read(operation, who.clone(), place, request.headers())
}

/// Who asks.
pub fn who(request: &Request) -> Who {
    request.extensions().get::<Who>().cloned().unwrap_or_default()
}

/// What [`admit`] found.
pub fn asked(request: &Request) -> Arc<Asked> {
    request.extensions().get::<Arc<Asked>>().cloned().unwrap_or_default()
}

/// A body of JSON.
pub fn json<T: ToSchema>() -> Content {
    let (schema, schemas) = reference::<T>();
    Content::Json(Box::new(schema), schemas)
}

/// A type by its name, and all that have to be known for it.
pub fn reference<T: ToSchema>() -> (RefOr<Schema>, Vec<(String, RefOr<Schema>)>) {
    let name = T::name();
    let mut schemas = vec![(name.to_string(), T::schema())];
    T::schemas(&mut schemas);
    (RefOr::Ref(Ref::from_schema_name(name)), schemas)
}
