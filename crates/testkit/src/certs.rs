//! Certificates for TLS, made by openssl: an authority, a server for localhost, a client.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with certificates and keys under the names that QEMU and libnbd look for: `ca-cert.pem`, `server-cert.pem`,
/// `server-key.pem`, `client-cert.pem`, `client-key.pem`.
#[derive(Debug)]
pub struct Certs {
    dir: tempfile::TempDir,
}

impl Certs {
    /// Certificates that are valid for 30 days.
    #[must_use]
    pub fn new() -> Self {
        let certs = Self { dir: tempfile::tempdir().unwrap() };
        let (ca, ca_key) = (certs.file("ca-cert.pem"), certs.file("ca-key.pem"));
        let authority = ["-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
        certs.run(&[&NEW[..], &authority].concat());
        for (who, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let key = certs.file(&format!("{who}-key.pem"));
            let cert = certs.file(&format!("{who}-cert.pem"));
            let (subject, usage) = (format!("/CN={who}"), format!("extendedKeyUsage={usage}"));
            let signed = ["-CA", &ca, "-CAkey", &ca_key, "-subj", &subject];
            let extensions = ["-addext", NAMES, "-addext", END, "-addext", &usage];
            let files = ["-keyout", &key, "-out", &cert];
            certs.run(&[&NEW[..], &signed, &files, &extensions].concat());
        }
        certs
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// One of them.
    #[must_use]
    pub fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// A certificate with the server's key that was valid in January 2020 only.
    #[must_use]
    pub fn expired(&self) -> PathBuf {
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
                      default_md=sha256\npolicy=p\n\
                      x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=critical,CA:FALSE\n";
        for (name, text) in [("config", config), ("index", ""), ("serial", "01\n")] {
            std::fs::write(self.path().join(name), text).unwrap();
        }
        self.run(&["req", "-new", "-key", "server-key.pem", "-subj", "/CN=old", "-out", "request"]);
        self.run(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "config",
            "-selfsign",
            "-keyfile",
            "server-key.pem",
            "-in",
            "request",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20200201000000Z",
            "-out",
            "expired.pem",
        ]);
        self.path().join("expired.pem")
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn run(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(self.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {args:?}: {said}");
    }
}

impl Default for Certs {
    fn default() -> Self {
        Self::new()
    }
}

const NEW: [&str; 7] = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"];
const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
const END: &str = "basicConstraints=critical,CA:FALSE";
