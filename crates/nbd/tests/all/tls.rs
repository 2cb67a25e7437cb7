//! TLS: required, offered, client certificates, and what must not work without it.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tintype_nbd::wire::reply::Style;
use tintype_nbd::wire::{opt, rep};
use tintype_nbd::{
    Device, Exports, FixedExports, Identity, Limits, Listener, MemoryDisk, Server, TlsMode,
};
use tintype_testkit::Certs;

use crate::client::{Client, info};
use crate::programs::run;

const SIZE: u64 = 16 << 20;

fn identity(certs: &Certs, clients: bool) -> Identity {
    let authority = certs.pem("ca-cert.pem");
    let authority = clients.then_some(authority.as_slice());
    Identity::from_pem(&certs.pem("server-cert.pem"), &certs.pem("server-key.pem"), authority)
        .unwrap()
}

fn exports() -> Arc<dyn Exports> {
    let disk = MemoryDisk::new(SIZE);
    disk.write(4096, &[5; 100_000]).unwrap();
    Arc::new(FixedExports::default().with("disk", Arc::new(disk)))
}

fn listening(tls: TlsMode) -> (Server, u16) {
    let server = Server::start(Limits::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    server.listen(Listener::Tcp(listener), exports(), tls).unwrap();
    (server, port)
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().unwrap().status.success()
}

#[test]
fn real_clients_over_tls() {
    let dir = Certs::new();
    let folder = dir.path().display();
    for clients in [false, true] {
        let (_server, port) = listening(TlsMode::Required(identity(&dir, clients)));
        let uri = format!("nbds://localhost:{port}/disk?tls-certificates={folder}");
        assert!(run("nbdinfo", &[&uri]).contains("protocol: newstyle-fixed with TLS"));
        let copy = dir.path().join("copy");
        run("nbdcopy", &[&uri, copy.to_str().unwrap()]);
        let copied = fs::read(&copy).unwrap();
        assert_eq!((copied.len() as u64, &copied[4096..104_096]), (SIZE, &[5; 100_000][..]));
        let plain = format!("nbd://localhost:{port}/disk");
        assert!(!succeeds("nbdinfo", &[&plain]), "not without TLS");
        let creds = format!("tls-creds-x509,id=t,endpoint=client,dir={folder}");
        let image = format!(
            "driver=nbd,server.type=inet,server.host=localhost,server.port={port},export=disk,tls-creds=t"
        );
        let written = run(
            "qemu-io",
            &[
                "--object",
                &creds,
                "--image-opts",
                &image,
                "-c",
                "write -P 0x33 1M 3M",
                "-c",
                "flush",
                "-c",
                "read -P 0x33 1M 3M",
            ],
        );
        assert!(!written.contains("failed"), "{written}");
    }
}

#[test]
fn strangers_and_offers() {
    let dir = Certs::new();
    let stranger = Certs::new();
    let (_server, port) = listening(TlsMode::Required(identity(&dir, true)));
    // The stranger trusts our server, but was not signed by our authority.
    fs::copy(dir.path().join("ca-cert.pem"), stranger.path().join("ca-cert.pem")).unwrap();
    let of =
        |dir: &Path| format!("nbds://localhost:{port}/disk?tls-certificates={}", dir.display());
    assert!(!succeeds("nbdinfo", &[&of(stranger.path())]));
    assert!(succeeds("nbdinfo", &[&of(dir.path())]));
    let (_server, port) = listening(TlsMode::Offered(identity(&dir, false)));
    assert!(run("nbdinfo", &[&format!("nbd://localhost:{port}/disk")]).contains("without TLS"));
    let uri = format!("nbds://localhost:{port}/disk?tls-certificates={}", dir.path().display());
    assert!(run("nbdinfo", &[&uri]).contains("with TLS"));
}

fn pair(server: &Server, tls: TlsMode) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    server.serve(OwnedFd::from(theirs), exports(), tls);
    ours.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    let mut client = Client { socket: ours, style: Style::Simple };
    client.bytes(18);
    client
}

#[test]
fn nothing_works_before_tls_where_it_is_required() {
    let dir = Certs::new();
    let tls = TlsMode::Required(identity(&dir, false));
    let server = Server::start(Limits::default()).unwrap();
    let mut client = pair(&server, tls.clone());
    client.send(&3u32.to_be_bytes());
    for option in [opt::LIST, opt::INFO, opt::GO, opt::STRUCTURED_REPLY, opt::EXTENDED_HEADERS, 99]
    {
        assert_eq!(client.verdict(option, &info("disk", &[])), rep::ERR_TLS_REQD);
    }
    assert_eq!(client.verdict(99, &[1; 200_000]), rep::ERR_TLS_REQD);
    assert_eq!(client.verdict(opt::STARTTLS, b"x"), rep::ERR_INVALID);
    assert_eq!(client.verdict(opt::ABORT, b""), rep::ACK);
    let mut client = pair(&server, tls.clone());
    client.send(&3u32.to_be_bytes());
    client.send_option(opt::EXPORT_NAME, b"disk");
    assert!(client.is_closed());
    let mut client = pair(&server, tls.clone());
    client.send(&0u32.to_be_bytes());
    assert!(client.is_closed(), "without fixed newstyle there is no TLS");
    // What was slipped in behind STARTTLS would be taken for the first thing said under TLS.
    let mut client = pair(&server, tls.clone());
    client.send(
        &[&3u32.to_be_bytes()[..], b"IHAVEOPT\0\0\0\x05\0\0\0\0IHAVEOPT\0\0\0\x03\0\0\0\0"]
            .concat(),
    );
    assert!(client.is_closed());
    // Neither nonsense nor silence brings a server down.
    let mut client = pair(&server, tls);
    client.send(&3u32.to_be_bytes());
    client.agree(opt::STARTTLS, b"");
    client.send(&[0x55; 4000]);
    let mut rest = Vec::new();
    drop(std::io::Read::read_to_end(&mut client.socket, &mut rest));
    assert!(rest.len() < 100, "an alert at most");
}

#[test]
fn what_was_agreed_before_tls_is_forgotten() {
    let dir = Certs::new();
    let server = Server::start(Limits::default()).unwrap();
    let mut client = pair(&server, TlsMode::Offered(identity(&dir, false)));
    client.send(&3u32.to_be_bytes());
    client.agree(opt::STRUCTURED_REPLY, b"");
    client.agree(opt::STARTTLS, b"");
    let roots = {
        let mut roots = rustls::RootCertStore::empty();
        let pem = fs::read(dir.path().join("ca-cert.pem")).unwrap();
        let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        roots.add(certificate).unwrap();
        roots
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = rustls::StreamOwned::new(session, client.socket);
    let mut ask = |option: u32, data: &[u8]| {
        use std::io::{Read, Write};
        let length = (data.len() as u32).to_be_bytes();
        tls.write_all(&[b"IHAVEOPT", &option.to_be_bytes()[..], &length, data].concat()).unwrap();
        let mut head = [0; 20];
        tls.read_exact(&mut head).unwrap();
        let mut text = vec![0; crate::client::u32_at(&head, 16) as usize];
        tls.read_exact(&mut text).unwrap();
        crate::client::u32_at(&head, 12)
    };
    assert_eq!(ask(opt::STARTTLS, b""), rep::ERR_INVALID, "only once");
    assert_eq!(ask(opt::STRUCTURED_REPLY, b""), rep::ACK, "a second time would be an error");
}

#[test]
fn what_is_no_certificate_is_refused_by_name() {
    let dir = Certs::new();
    let (cert, key) = (dir.pem("server-cert.pem"), dir.pem("server-key.pem"));
    for (cert, key, clients, what) in [
        (&key, &key, None, "certificate"),
        (&cert, &cert, None, "key"),
        (&cert, &dir.pem("client-key.pem"), None, "certificate"),
        (&cert, &key, Some(&key), "client authority"),
    ] {
        let error = Identity::from_pem(cert, key, clients.map(Vec::as_slice)).err().unwrap();
        assert!(error.to_string().contains(&format!("TLS {what} ")), "{error}");
    }
}

#[test]
fn what_has_expired_is_refused() {
    let certs = Certs::new();
    let (cert, key) = (certs.pem("server-cert.pem"), certs.pem("server-key.pem"));
    let expired = fs::read(certs.expired()).unwrap();
    let chain = [&cert[..], &expired[..]].concat();
    for (cert, clients, what) in [
        (&expired, None, "certificate"),
        (&chain, None, "certificate"),
        (&cert, Some(&expired), "client authority"),
    ] {
        let error = Identity::from_pem(cert, &key, clients.map(Vec::as_slice)).err().unwrap();
        let said = error.to_string();
        assert!(said.contains(&format!("TLS {what} ")) && said.contains("expired"), "{said}");
        assert!(said.contains(" days ago"), "{said}");
    }
}
