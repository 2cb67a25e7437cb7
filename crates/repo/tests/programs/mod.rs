//! Programs of others that tests of places need; servers that end with their test.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

pub use tintype_testkit::programs::find;

/// A server that ends with its test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server.
pub fn start(command: &mut Command) -> Running {
    Running(command.stdin(Stdio::null()).spawn().unwrap())
}

/// Starts a server that says its address, `http://...`, on one of its outputs.
pub fn serve(command: &mut Command) -> (Running, String) {
    // Which of the two differs between programs.
    let (output, error) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(error.try_clone().unwrap()).stderr(error);
    let child = command.spawn().unwrap();
    // Ours would keep the pipe open when the server ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(child);
    let mut lines = BufReader::new(output);
    let (mut line, mut said) = (String::new(), String::new());
    let url = loop {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended: {said}");
        said.push_str(&line);
        let starts = ["http://127.0.0.1:", "https://127.0.0.1:", "http://localhost:"];
        if let Some(at) = starts.iter().find_map(|start| line.find(start)) {
            let end = |c: char| c.is_whitespace() || "]\"',".contains(c);
            break line[at..].split(end).next().unwrap().trim_end_matches('/').to_owned();
        }
    };
    // Its pipe must not fill up.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    (running, url)
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
