//! From a place's name and what stands in the environment to the library's operator for it. Names and variables are restic's.

use std::io;

use opendal_core::{Builder, HttpTransporter, OperationContext, Operator};
use opendal_service_azblob::Azblob;
use opendal_service_gcs::Gcs;
use opendal_service_s3::S3;
use opendal_service_webdav::Webdav;
use ureq::Agent;

use super::failure::io_error;
use super::transport::Transport;
use crate::backend::location::{Bucket, decoded};
use crate::backend::web;
use crate::backend::{Access, Location, RestUrl, Secret};

mod b2;
mod region;

/// Is this adapter for places of this kind?
pub fn serves(location: &Location) -> bool {
    use Location as L;
    matches!(location, L::S3 { .. } | L::Azure(_) | L::Google(_) | L::B2(_) | L::WebDav(_))
}

/// The operator for a place. Some have to be asked where their buckets lie.
pub fn operator(location: &Location, access: &Access) -> io::Result<Operator> {
    let client = access.client_certificate.as_ref().map(|pem| pem.reveal().as_bytes());
    let agent = web::agent(access.ca_certificates.as_deref(), client, &web::Limits::default())?;
    let site = Site { access, agent: &agent };
    match location {
        Location::S3 { endpoint, bucket, prefix } => site.s3(endpoint, bucket, prefix),
        Location::Azure(bucket) => site.azure(bucket),
        Location::Google(bucket) => site.google(bucket),
        Location::B2(bucket) => site.b2(bucket),
        Location::WebDav(url) => site.webdav(url),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

struct Site<'a> {
    access: &'a Access,
    agent: &'a Agent,
}

impl Site<'_> {
    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.access.environment.get(name).map(Secret::reveal);
        value.filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> io::Result<&str> {
        self.variable(name).ok_or_else(|| wrong(format!("{name} is not set")))
    }

    fn option(&self, key: &str) -> Option<&str> {
        self.access.options.get(key)
    }

    fn finish(&self, builder: impl Builder) -> io::Result<Operator> {
        let operator = Operator::new(builder).map_err(|e| io_error(&e))?;
        let transport = HttpTransporter::new(Transport::new(self.agent.clone()));
        Ok(operator.with_context(OperationContext::new().with_http_transport(transport)))
    }

    fn s3(&self, endpoint: &str, bucket: &str, prefix: &str) -> io::Result<Operator> {
        let given = self
            .option("s3.region")
            .or_else(|| self.variable("AWS_DEFAULT_REGION"))
            .or_else(|| self.variable("AWS_REGION"));
        let region = match given {
            Some(region) => region.to_owned(),
            None => region::of(endpoint, bucket, self.agent),
        };
        let login = Login {
            key: self.variable("AWS_ACCESS_KEY_ID"),
            secret: self.variable("AWS_SECRET_ACCESS_KEY"),
            token: self.variable("AWS_SESSION_TOKEN"),
        };
        self.finish(self.s3_builder(endpoint, &region, bucket, prefix, &login)?)
    }

    fn s3_builder(
        &self,
        endpoint: &str,
        region: &str,
        bucket: &str,
        prefix: &str,
        login: &Login<'_>,
    ) -> io::Result<S3> {
        let mut s3 = S3::default().endpoint(endpoint).region(region).bucket(bucket).root(prefix);
        if let (Some(key), Some(secret)) = (login.key, login.secret) {
            s3 = s3.access_key_id(key).secret_access_key(secret).disable_config_load();
            if let Some(token) = login.token {
                s3 = s3.session_token(token);
            }
        }
        let in_host = match self.option("s3.bucket-lookup") {
            None | Some("auto") => endpoint.contains(".amazonaws.com") && !bucket.contains('.'),
            Some("dns") => true,
            Some("path") => false,
            Some(other) => {
                return Err(wrong(format!(
                    "the option s3.bucket-lookup is auto, dns or path, not {other}"
                )));
            }
        };
        if in_host {
            s3 = s3.enable_virtual_host_style();
        }
        if let Some(class) = self.option("s3.storage-class") {
            s3 = s3.default_storage_class(class);
        }
        match self.option("s3.list-objects-v1") {
            None | Some("false") => Ok(s3),
            Some("true") => Ok(s3.disable_list_objects_v2()),
            Some(_) => Err(wrong("the option s3.list-objects-v1 is true or false".to_owned())),
        }
    }

    fn azure(&self, bucket: &Bucket) -> io::Result<Operator> {
        let account = self.required("AZURE_ACCOUNT_NAME")?;
        let suffix = self.variable("AZURE_ENDPOINT_SUFFIX").unwrap_or("core.windows.net");
        let endpoint = match self.option("azure.endpoint") {
            Some(endpoint) => endpoint.to_owned(),
            None => format!("https://{account}.blob.{suffix}"),
        };
        let mut azure = Azblob::default()
            .endpoint(&endpoint)
            .account_name(account)
            .container(&bucket.name)
            .root(&bucket.prefix);
        if let Some(key) = self.variable("AZURE_ACCOUNT_KEY") {
            azure = azure.account_key(key);
        }
        if let Some(sas) = self.variable("AZURE_ACCOUNT_SAS") {
            azure = azure.sas_token(sas.trim_start_matches('?'));
        }
        self.finish(azure)
    }

    fn google(&self, bucket: &Bucket) -> io::Result<Operator> {
        let mut google = Gcs::default().bucket(&bucket.name).root(&bucket.prefix);
        if let Some(endpoint) = self.option("gs.endpoint") {
            google = google.endpoint(endpoint);
        }
        if let Some(token) = self.variable("GOOGLE_ACCESS_TOKEN") {
            google = google.token(token.to_owned());
        } else if let Some(file) = self.variable("GOOGLE_APPLICATION_CREDENTIALS") {
            google = google.credential_path(file);
        }
        self.finish(google)
    }

    /// Through the store's S3 interface: its own one wants a bucket's number, and does nothing that we need besides.
    fn b2(&self, bucket: &Bucket) -> io::Result<Operator> {
        let (key, secret) = (self.required("B2_ACCOUNT_ID")?, self.required("B2_ACCOUNT_KEY")?);
        let endpoint = match self.option("b2.endpoint") {
            Some(endpoint) => endpoint.to_owned(),
            None => b2::s3_endpoint(b2::AUTHORIZE, key, secret, self.agent)?,
        };
        let region = region::in_host(&endpoint).unwrap_or("us-east-1").to_owned();
        let login = Login { key: Some(key), secret: Some(secret), token: None };
        self.finish(self.s3_builder(&endpoint, &region, &bucket.name, &bucket.prefix, &login)?)
    }

    fn webdav(&self, url: &RestUrl) -> io::Result<Operator> {
        let (endpoint, root) = origin_and_path(&url.url);
        let mut webdav = Webdav::default()
            .endpoint(endpoint)
            .root(&decoded(root).unwrap_or_else(|| root.to_owned()));
        if let Some(user) = url.username.as_deref().or_else(|| self.variable("WEBDAV_USERNAME")) {
            webdav = webdav.username(user);
        }
        let password = url.password.as_ref().map(Secret::reveal);
        if let Some(password) = password.or_else(|| self.variable("WEBDAV_PASSWORD")) {
            webdav = webdav.password(password);
        }
        self.finish(webdav)
    }
}

struct Login<'a> {
    key: Option<&'a str>,
    secret: Option<&'a str>,
    token: Option<&'a str>,
}

/// `https://host:port` and `/path/`.
fn origin_and_path(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.split_at(path)
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
