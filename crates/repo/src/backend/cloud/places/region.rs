//! The region that requests to an S3 service are signed for, where nobody named one.

use ureq::Agent;

/// What services that have no regions take.
const DEFAULT: &str = "us-east-1";

/// From the host's name, or else from the service, which tells it to anybody.
pub fn of(endpoint: &str, bucket: &str, agent: &Agent) -> String {
    if let Some(region) = in_host(endpoint) {
        return region.to_owned();
    }
    // A service that does not answer is found by the next request, which can be made again.
    let answer = agent.head(format!("{endpoint}/{bucket}")).call().ok();
    let told = answer.as_ref().and_then(|a| a.headers().get("x-amz-bucket-region")?.to_str().ok());
    told.unwrap_or(DEFAULT).to_owned()
}

/// `eu-central-1` in `https://s3.eu-central-1.amazonaws.com`, `https://s3.dualstack.eu-central-1.…`, `https://s3-eu-central-1.…`; the same of others
/// that name their hosts so.
pub fn in_host(endpoint: &str) -> Option<&str> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let host = host.split([':', '/']).next().unwrap_or_default();
    // Other hosts have names of this form too, so it must stand where these services put it.
    let (first, rest) = host.split_once('.')?;
    let region = match first.strip_prefix("s3-") {
        Some(region) => region,
        None if first == "s3" => {
            rest.strip_prefix("dualstack.").unwrap_or(rest).split('.').next()?
        }
        None => return None,
    };
    Some(region).filter(|region| is_region(region))
}

/// Two letters, words, a number, with hyphens between: `us-east-1`, `us-gov-west-1`, `us-west-004`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [land, words @ .., number] => {
            land.len() == 2
                && !words.is_empty()
                && letters(land)
                && words.iter().all(letters)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_in_hosts() {
        for (host, region) in [
            ("https://s3.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("https://s3.dualstack.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("http://s3-ap-southeast-2.amazonaws.com:80", Some("ap-southeast-2")),
            ("https://s3.us-west-004.backblazeb2.com", Some("us-west-004")),
            ("https://s3.amazonaws.com", None),
            ("http://localhost:9000", None),
            ("http://127.0.0.1:9000", None),
            ("https://my-own-1.example", None),
            ("https://s3.example", None),
        ] {
            assert_eq!(in_host(host), region, "{host}");
        }
    }
}
