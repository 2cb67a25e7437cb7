//! The handshake: greets, answers options until an export is chosen, and starts TLS.
//!
//! Everything here is bounded: the time as a whole, the number of options, the length of each.

use std::io;
use std::sync::Arc;

use crate::inbox::Inbox;
use crate::negotiated::Terms;
use crate::options::{Answer, Haggle};
use crate::port::{Export, Exports};
use crate::stream::Stream;
use crate::tls::TlsMode;
use crate::wire::reply::option_reply;
use crate::wire::{
    FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES, GREETING_MAGIC, OPTION_MAGIC, STRING_MAX, opt, option, rep,
};

/// Options of one handshake.
const OPTIONS_MAX: usize = 1024;
/// Longest data of an option that is looked at.
const DATA_MAX: usize = 128 << 10;
/// Longest data that is read and thrown away to be able to say that it is too long.
const SKIP_MAX: u32 = 1 << 20;
/// Replies are sent in pieces of about this size.
const SEND: usize = 64 << 10;

/// What a handshake needs to know.
pub(crate) struct Door {
    pub exports: Arc<dyn Exports>,
    pub tls: TlsMode,
}

/// Why there is no transmission phase.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDeal {
    #[error("the client left")]
    Left,
    #[error("the client does not keep to the protocol: {0}")]
    Broken(&'static str),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
}

/// What was agreed on.
pub(crate) struct Deal {
    pub export: Export,
    pub terms: Terms,
    pub inbox: Inbox,
}

/// Leads the handshake. The caller has set a deadline on the stream.
pub(crate) fn negotiate(stream: &Stream, door: &Door) -> Result<Deal, NoDeal> {
    let mut greeting = GREETING_MAGIC.to_be_bytes().to_vec();
    greeting.extend(OPTION_MAGIC.to_be_bytes());
    greeting.extend((FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES).to_be_bytes());
    stream.send(&[&greeting])?;
    let mut inbox = Inbox::new();
    let mut flags = [0; 4];
    inbox.take(stream, &mut flags)?;
    let flags = u32::from_be_bytes(flags);
    if flags & !u32::from(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES) != 0 {
        return Err(NoDeal::Broken("unknown client flags"));
    }
    let fixed = flags & u32::from(FLAG_FIXED_NEWSTYLE) != 0;
    if door.tls.required() && !fixed {
        return Err(NoDeal::Refused("a client that cannot start TLS".into()));
    }
    let no_zeroes = flags & u32::from(FLAG_NO_ZEROES) != 0;
    let mut talk = Talk { stream, door, inbox, haggle: Haggle::default(), fixed, no_zeroes };
    for _ in 0..OPTIONS_MAX {
        if let Some((export, terms)) = talk.option()? {
            return Ok(Deal { export, terms, inbox: talk.inbox });
        }
    }
    Err(NoDeal::Broken("too many options"))
}

struct Talk<'a> {
    stream: &'a Stream,
    door: &'a Door,
    inbox: Inbox,
    haggle: Haggle,
    fixed: bool,
    no_zeroes: bool,
}

impl Talk<'_> {
    /// Handles one option. Returns what was agreed on when it was the last one.
    fn option(&mut self) -> Result<Option<(Export, Terms)>, NoDeal> {
        let header = self.inbox.peek(self.stream, option::OPTION_HEADER).map_err(left)?;
        let header = option::header(header).ok_or(NoDeal::Broken("not an option"))?;
        self.inbox.consume(option::OPTION_HEADER);
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let old = header.option == opt::EXPORT_NAME;
        if length > if old { STRING_MAX } else { DATA_MAX } {
            return self.too_long(header.option, header.length).map(|()| None);
        }
        let mut data = vec![0; length];
        self.inbox.take(self.stream, &mut data)?;
        if self.door.tls.required() && !self.stream.is_tls() && header.option != opt::STARTTLS {
            return self.tls_first(header.option).map(|()| None);
        }
        match header.option {
            opt::EXPORT_NAME => self.export_name(&data).map(Some),
            opt::ABORT => {
                drop(self.reply(opt::ABORT, rep::ACK, ""));
                Err(NoDeal::Left)
            }
            opt::STARTTLS => self.start_tls(&data).map(|()| None),
            other => self.ask(other, &data),
        }
    }

    fn reply(&self, option: u32, kind: u32, text: &str) -> Result<(), NoDeal> {
        let mut out = Vec::new();
        option_reply(&mut out, option, kind, &[text.as_bytes()]);
        Ok(self.stream.send(&[&out])?)
    }

    fn too_long(&mut self, option: u32, length: u32) -> Result<(), NoDeal> {
        if option == opt::EXPORT_NAME || length > SKIP_MAX {
            return Err(NoDeal::Broken("an option beyond all limits"));
        }
        self.inbox.skip(self.stream, u64::from(length))?;
        if self.door.tls.required() && !self.stream.is_tls() && option != opt::STARTTLS {
            return self.tls_first(option);
        }
        self.reply(option, rep::ERR_TOO_BIG, "the option is too long")
    }

    fn tls_first(&self, option: u32) -> Result<(), NoDeal> {
        match option {
            opt::ABORT => {
                drop(self.reply(option, rep::ACK, ""));
                Err(NoDeal::Left)
            }
            opt::EXPORT_NAME => Err(NoDeal::Refused("an export without TLS".into())),
            _ => self.reply(option, rep::ERR_TLS_REQD, "this server wants TLS first"),
        }
    }

    fn start_tls(&mut self, data: &[u8]) -> Result<(), NoDeal> {
        let refuse = |kind, text| self.reply(opt::STARTTLS, kind, text);
        let Some(identity) = self.door.tls.identity().filter(|_| self.fixed) else {
            return refuse(rep::ERR_POLICY, "this server offers no TLS");
        };
        if self.stream.is_tls() {
            return refuse(rep::ERR_INVALID, "TLS has started already");
        }
        if !data.is_empty() {
            return refuse(rep::ERR_INVALID, "the option takes no data");
        }
        // Whatever was put in before TLS, by the client or by somebody between us, must not count afterwards.
        if !self.inbox.available().is_empty() {
            return Err(NoDeal::Broken("bytes between STARTTLS and TLS"));
        }
        self.haggle = Haggle::default();
        self.reply(opt::STARTTLS, rep::ACK, "")?;
        Ok(self.stream.start_tls(identity)?)
    }

    fn export_name(&mut self, data: &[u8]) -> Result<(Export, Terms), NoDeal> {
        let refused = |error: &dyn std::fmt::Display| NoDeal::Refused(error.to_string());
        let name = option::name(data).map_err(|error| refused(&error))?;
        if self.haggle.is_extended() {
            return Err(NoDeal::Broken("EXPORT_NAME after extended headers"));
        }
        let export = self.door.exports.open(name).map_err(|error| refused(&error))?;
        let terms = self.haggle.terms(&export);
        let mut out = terms.geometry.size.to_be_bytes().to_vec();
        out.extend(terms.flags().to_be_bytes());
        out.resize(out.len() + if self.no_zeroes { 0 } else { 124 }, 0);
        self.stream.send(&[&out])?;
        Ok((export, terms))
    }

    fn ask(&mut self, option: u32, data: &[u8]) -> Result<Option<(Export, Terms)>, NoDeal> {
        let mut out = Vec::new();
        let (kind, text, deal) = {
            let stream = self.stream;
            let mut say = |kind: u32, parts: &[&[u8]]| {
                option_reply(&mut out, option, kind, parts);
                if out.len() < SEND {
                    return Ok(());
                }
                stream.send(&[&std::mem::take(&mut out)])
            };
            match self.haggle.answer(&*self.door.exports, option, data, &mut say)? {
                Answer::Done => (rep::ACK, String::new(), None),
                Answer::Deal(export, terms) => (rep::ACK, String::new(), Some((export, *terms))),
                Answer::No(kind, text) => (kind, text, None),
            }
        };
        let text = text.get(..text.floor_char_boundary(STRING_MAX)).unwrap_or_default();
        option_reply(&mut out, option, kind, &[text.as_bytes()]);
        self.stream.send(&[&out])?;
        Ok(deal)
    }
}

/// A client that closes between two options has simply left.
fn left(error: io::Error) -> NoDeal {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => NoDeal::Left,
        _ => NoDeal::Failed(error),
    }
}
