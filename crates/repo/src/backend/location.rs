//! What people write to name a place, taken apart: `/path`, `rest:https://host/path/`, `s3:host/bucket/prefix` and so on.
//!
//! The words before the colon and the forms are restic's, so that one variable serves both programs. Parsing opens nothing and resolves nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ureq::http::Uri;

use super::Secret;

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// `/path`, `relative/path`, `local:path`: a folder.
    Local(PathBuf),
    /// `rest:http://user:password@host:port/path/`: a server of restic's REST protocol.
    Rest(RestUrl),
    /// `s3:host/bucket/prefix`, `s3:https://host:port/bucket/prefix`: a bucket.
    S3 {
        /// With scheme, without a slash at the end.
        endpoint: String,
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `sftp:user@host:path`, `sftp://user@host:port//path`: a folder on another machine.
    Sftp {
        /// The account, where one is named.
        user: Option<String>,
        /// Name or address of the machine.
        host: String,
        /// The port, where one is named.
        port: Option<u16>,
        /// Absolute, or relative to the account's home.
        path: String,
    },
    /// `azure:container:prefix`: Azure's blob storage.
    Azure(Bucket),
    /// `gs:bucket:prefix`: Google's storage.
    Google(Bucket),
    /// `b2:bucket:prefix`: Backblaze's storage.
    B2(Bucket),
    /// `swift:container:prefix`: an OpenStack storage.
    Swift(Bucket),
    /// `webdav:https://host/path/`: a WebDAV server.
    WebDav(RestUrl),
    /// `rclone:remote:path`: whatever rclone reaches.
    Rclone {
        /// `remote:path`, for rclone to understand.
        remote: String,
    },
}

/// A container of objects, and what their names begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket or container.
    pub name: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// The URL of a folder on a web server, apart from who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestUrl {
    /// `http` or `https`, host, port and path; ends with a slash and has no user in it.
    pub url: String,
    /// The user that stood in the URL, decoded.
    pub username: Option<String>,
    /// The password that stood in the URL, decoded.
    pub password: Option<Secret>,
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotALocation {
    /// Nothing was written.
    #[error("the place is empty")]
    Empty,
    /// The word before the colon is not known.
    #[error(
        "`{kind}` is no kind of place; a folder with a colon in its name is written local:PATH"
    )]
    Kind {
        /// The word.
        kind: String,
    },
    /// What follows the colon does not have the form of this kind.
    #[error("a place of the kind `{kind}` is written {form}")]
    Form {
        /// The word before the colon.
        kind: &'static str,
        /// How it is written.
        form: &'static str,
    },
}

impl Location {
    /// Does it lie behind a network? Then copies near by are worth while.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Local(_))
    }

    /// The word before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Rest(_) => "rest",
            Self::S3 { .. } => "s3",
            Self::Sftp { .. } => "sftp",
            Self::Azure(_) => "azure",
            Self::Google(_) => "gs",
            Self::B2(_) => "b2",
            Self::Swift(_) => "swift",
            Self::WebDav(_) => "webdav",
            Self::Rclone { .. } => "rclone",
        }
    }
}

impl fmt::Display for Location {
    /// As it is written, without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Rest(url) | Self::WebDav(url) => write!(f, "{}:{}", self.kind(), url.shown()),
            Self::S3 { endpoint, bucket, prefix } => write!(f, "s3:{endpoint}/{bucket}/{prefix}"),
            Self::Sftp { user, host, port, path } => {
                f.write_str("sftp://")?;
                user.iter().try_for_each(|user| write!(f, "{user}@"))?;
                f.write_str(host)?;
                port.iter().try_for_each(|port| write!(f, ":{port}"))?;
                write!(f, "/{path}")
            }
            Self::Azure(bucket) | Self::Google(bucket) | Self::B2(bucket) | Self::Swift(bucket) => {
                write!(f, "{}:{}:/{}", self.kind(), bucket.name, bucket.prefix)
            }
            Self::Rclone { remote } => write!(f, "rclone:{remote}"),
        }
    }
}

impl FromStr for Location {
    type Err = NotALocation;

    fn from_str(text: &str) -> Result<Self, NotALocation> {
        if text.is_empty() {
            return Err(NotALocation::Empty);
        }
        let Some((kind, rest)) = text.split_once(':').filter(|(kind, _)| !kind.contains('/'))
        else {
            return Ok(Self::Local(text.into()));
        };
        match kind {
            "local" if rest.is_empty() => Err(NotALocation::Empty),
            "local" => Ok(Self::Local(rest.into())),
            "rest" => web("rest", rest).map(Self::Rest),
            "webdav" => web("webdav", rest).map(Self::WebDav),
            "s3" => s3(rest),
            "sftp" => sftp(rest),
            "azure" => bucket("azure", "azure:CONTAINER:/PREFIX", rest).map(Self::Azure),
            "gs" => bucket("gs", "gs:BUCKET:/PREFIX", rest).map(Self::Google),
            "b2" => bucket("b2", "b2:BUCKET:PREFIX", rest).map(Self::B2),
            "swift" => bucket("swift", "swift:CONTAINER:/PREFIX", rest).map(Self::Swift),
            "rclone" if rest.contains(':') => Ok(Self::Rclone { remote: rest.to_owned() }),
            "rclone" => Err(NotALocation::Form { kind: "rclone", form: "rclone:REMOTE:PATH" }),
            _ => Err(NotALocation::Kind { kind: kind.to_owned() }),
        }
    }
}

impl RestUrl {
    /// The URL with the user, without the password.
    pub fn shown(&self) -> String {
        match (&self.username, self.url.split_once("://")) {
            (Some(user), Some((scheme, rest))) => format!("{scheme}://{user}@{rest}"),
            _ => self.url.clone(),
        }
    }
}

fn web(kind: &'static str, text: &str) -> Result<RestUrl, NotALocation> {
    let form = match kind {
        "rest" => "rest:https://USER:PASSWORD@HOST:PORT/PATH/",
        _ => "webdav:https://USER:PASSWORD@HOST:PORT/PATH/",
    };
    let wrong = || NotALocation::Form { kind, form };
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    if !matches!(scheme, "http" | "https") {
        return Err(wrong());
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The last at sign: passwords are often written with theirs as it is.
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let url = format!("{scheme}://{host}/{path}{slash}");
    let parsed: Uri = url.parse().map_err(|_| wrong())?;
    if host.is_empty() || parsed.host().is_none_or(str::is_empty) || parsed.query().is_some() {
        return Err(wrong());
    }
    // The URL's own parser takes ports that no machine has. The colons of an address in brackets are none before a port.
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(wrong());
    }
    let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        None => (None, None),
        Some((name, "")) => (Some(decoded(name).ok_or_else(wrong)?), None),
        Some((name, password)) => (
            Some(decoded(name).ok_or_else(wrong)?),
            Some(Secret::new(decoded(password).ok_or_else(wrong)?)),
        ),
    };
    Ok(RestUrl { url, username, password })
}

/// Replaces `%41` by `A`. `None` when digits are missing or the result is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn s3(text: &str) -> Result<Location, NotALocation> {
    let wrong = || NotALocation::Form {
        kind: "s3",
        form: "s3:HOST/BUCKET/PREFIX or s3:https://HOST:PORT/BUCKET/PREFIX",
    };
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err(wrong()),
        None => ("https", text.strip_prefix("//").unwrap_or(text)),
    };
    let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if host.is_empty() || bucket.is_empty() || host.contains('@') {
        return Err(wrong());
    }
    let endpoint = format!("{scheme}://{host}");
    Ok(Location::S3 { endpoint, bucket: bucket.to_owned(), prefix: trimmed(prefix) })
}

fn sftp(text: &str) -> Result<Location, NotALocation> {
    let wrong = || NotALocation::Form {
        kind: "sftp",
        form: "sftp:USER@HOST:PATH or sftp://USER@HOST:PORT//PATH",
    };
    let url = text.strip_prefix("//");
    let (authority, path) = match url {
        Some(url) => url.split_once('/').ok_or_else(wrong)?,
        None => split_host(text).ok_or_else(wrong)?,
    };
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let (host, port) = match url.and_then(|_| host.rsplit_once(':')) {
        // The colons of an address in brackets are none before a port.
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port.parse().map_err(|_| wrong())?))
        }
        _ => (host, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || path.is_empty() || user.is_some_and(str::is_empty) {
        return Err(wrong());
    }
    let user = user.map(str::to_owned);
    Ok(Location::Sftp { user, host: host.to_owned(), port, path: path.to_owned() })
}

/// `user@host:path` at the colon that ends the host, which may be an address in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.split_once("]:") {
        Some((host, path)) if host.contains('[') => Some((host, path)),
        _ => text.split_once(':'),
    }
}

fn bucket(kind: &'static str, form: &'static str, text: &str) -> Result<Bucket, NotALocation> {
    let (name, prefix) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() || name.contains('/') {
        return Err(NotALocation::Form { kind, form });
    }
    Ok(Bucket { name: name.to_owned(), prefix: trimmed(prefix) })
}

fn trimmed(prefix: &str) -> String {
    prefix.trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn folders() {
        for path in ["/a/b", "relative", "./x:y", "/with:colon"] {
            assert_eq!(parsed(path), Location::Local(path.into()));
        }
        assert_eq!(parsed("local:s3:x"), Location::Local("s3:x".into()));
        assert_eq!("".parse::<Location>(), Err(NotALocation::Empty));
        assert_eq!("local:".parse::<Location>(), Err(NotALocation::Empty));
        assert_eq!("ftp:x".parse::<Location>(), Err(NotALocation::Kind { kind: "ftp".to_owned() }));
    }

    #[test]
    fn rest_urls() {
        let Location::Rest(url) = parsed("rest:https://me%40home:p%3Aw@x@host:8000/a/b") else {
            panic!()
        };
        assert_eq!(url.url, "https://host:8000/a/b/");
        assert_eq!(url.username.as_deref(), Some("me@home"));
        assert_eq!(url.password.as_ref().map(Secret::reveal), Some("p:w@x"));
        assert!(!format!("{url:?}").contains("p:w"));
        assert_eq!(Location::Rest(url).to_string(), "rest:https://me@home@host:8000/a/b/");
        for (text, url) in [
            ("rest:http://[::1]:8000", "http://[::1]:8000/"),
            ("rest:http://h/", "http://h/"),
            ("rest:http://h/x//", "http://h/x/"),
        ] {
            assert_eq!(parsed(text).to_string(), format!("rest:{url}"));
        }
        for text in [
            "rest:",
            "rest:host",
            "rest:ftp://h/",
            "rest:http://",
            "rest:http:///x",
            "rest:http://u@/",
            "rest:http://h/?a=b",
            "rest:http://%zz@h/",
            "rest:http+unix:///s:/p",
            "rest:http://h:99999999/",
            "rest:http://h h/",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn object_stores() {
        let s3 = |endpoint: &str, bucket: &str, prefix: &str| Location::S3 {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        assert_eq!(parsed("s3:s3.amazonaws.com/b"), s3("https://s3.amazonaws.com", "b", ""));
        assert_eq!(parsed("s3:http://h:9000/b/p/q/"), s3("http://h:9000", "b", "p/q"));
        assert_eq!(parsed("s3://h/b/p"), s3("https://h", "b", "p"));
        let bucket = |name: &str, prefix: &str| Bucket { name: name.into(), prefix: prefix.into() };
        assert_eq!(parsed("azure:c:/p"), Location::Azure(bucket("c", "p")));
        assert_eq!(parsed("gs:b:/"), Location::Google(bucket("b", "")));
        assert_eq!(parsed("b2:b:p/q"), Location::B2(bucket("b", "p/q")));
        assert_eq!(parsed("rclone:x:y"), Location::Rclone { remote: "x:y".into() });
        for text in ["s3:host", "s3:/b", "s3:ftp://h/b", "azure:", "gs::p", "rclone:x"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn sftp_forms() {
        let sftp = |user: Option<&str>, host: &str, port: Option<u16>, path: &str| Location::Sftp {
            user: user.map(str::to_owned),
            host: host.into(),
            port,
            path: path.into(),
        };
        assert_eq!(parsed("sftp:u@h:a/b"), sftp(Some("u"), "h", None, "a/b"));
        assert_eq!(parsed("sftp:h:/a"), sftp(None, "h", None, "/a"));
        assert_eq!(parsed("sftp:u@[::1]:/a"), sftp(Some("u"), "::1", None, "/a"));
        assert_eq!(parsed("sftp://u@h:22//a"), sftp(Some("u"), "h", Some(22), "/a"));
        assert_eq!(parsed("sftp://[::1]:22/a"), sftp(None, "::1", Some(22), "a"));
        assert_eq!(parsed("sftp://[::1]/a"), sftp(None, "::1", None, "a"));
        for text in ["sftp:h", "sftp:@h:p", "sftp:h:", "sftp://h", "sftp://h:x/p"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
