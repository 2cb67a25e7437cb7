//! The log of commands that serve something for long.

/// Warnings and errors go to standard error; `TINTYPE_LOG` says otherwise.
pub fn start() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TINTYPE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    drop(log.try_init());
}
