//! Answers to the options that ask for something: exports, information, contexts, forms of replies.
//!
//! It knows no socket: replies before the last one go to a callback.

use std::io;

use crate::contexts;
use crate::negotiated::Terms;
use crate::port::{Context, Export, Exports, Listed, Refusal};
use crate::wire::reply::Style;
use crate::wire::{PAYLOAD_MAX, STRING_MAX, info, opt, option, rep};

/// What a client has agreed on so far.
#[derive(Default)]
pub(crate) struct Haggle {
    style: Style,
    /// The canonical name of the export that they belong to, and the chosen contexts.
    chosen: Option<(String, Vec<Context>)>,
}

/// The end of the answer to an option.
pub(crate) enum Answer {
    /// Success.
    Done,
    /// Success, and the handshake is over.
    Deal(Export, Box<Terms>),
    /// An error: the type of the reply, and a text for the client.
    No(u32, String),
}

/// Sends a reply that is not the last one.
type Say<'a> = dyn FnMut(u32, &[&[u8]]) -> io::Result<()> + 'a;

impl Answer {
    fn no(kind: u32, text: impl ToString) -> io::Result<Self> {
        Ok(Self::No(kind, text.to_string()))
    }

    fn refused(refusal: &Refusal) -> io::Result<Self> {
        let kind = match refusal {
            Refusal::Unknown => rep::ERR_UNKNOWN,
            Refusal::Denied { .. } => rep::ERR_POLICY,
            Refusal::Ending => rep::ERR_SHUTDOWN,
        };
        Self::no(kind, refusal)
    }
}

impl Haggle {
    pub fn is_extended(&self) -> bool {
        self.style == Style::Extended
    }

    /// The terms for an export that is being opened. Contexts count only for the export that they were chosen for.
    pub fn terms(&self, export: &Export) -> Terms {
        let contexts = match &self.chosen {
            Some((name, contexts)) if *name == export.name => contexts.clone(),
            _ => Vec::new(),
        };
        Terms { style: self.style, geometry: export.device.geometry(), contexts }
    }

    /// Answers an option.
    pub fn answer(
        &mut self,
        exports: &dyn Exports,
        option: u32,
        data: &[u8],
        say: &mut Say<'_>,
    ) -> io::Result<Answer> {
        let bare = matches!(option, opt::LIST | opt::STRUCTURED_REPLY | opt::EXTENDED_HEADERS);
        if bare && !data.is_empty() {
            return Answer::no(rep::ERR_INVALID, "the option takes no data");
        }
        match option {
            opt::LIST => list(exports, say),
            opt::INFO | opt::GO => self.info(exports, data, option == opt::GO, say),
            opt::STRUCTURED_REPLY | opt::EXTENDED_HEADERS => self.style(option),
            opt::LIST_META_CONTEXT => self.list_contexts(exports, data, say),
            opt::SET_META_CONTEXT => self.set_contexts(exports, data, say),
            _ => Answer::no(rep::ERR_UNSUP, "unknown option"),
        }
    }

    fn style(&mut self, option: u32) -> io::Result<Answer> {
        let wanted = match option {
            opt::EXTENDED_HEADERS => Style::Extended,
            _ => Style::Structured,
        };
        if self.style == wanted {
            return Answer::no(rep::ERR_INVALID, "the option was agreed on already");
        }
        if self.is_extended() {
            let text = "extended headers were agreed on, which include this";
            return Answer::no(rep::ERR_EXT_HEADER_REQD, text);
        }
        self.style = wanted;
        Ok(Answer::Done)
    }

    fn info(
        &self,
        exports: &dyn Exports,
        data: &[u8],
        go: bool,
        say: &mut Say<'_>,
    ) -> io::Result<Answer> {
        let asked = match option::info(data) {
            Ok(asked) => asked,
            Err(bad) => return Answer::no(rep::ERR_INVALID, bad),
        };
        let export = match exports.open(asked.name) {
            Ok(export) => export,
            Err(refusal) => return Answer::refused(&refusal),
        };
        let terms = self.terms(&export);
        let mut tell = |kind: u16, parts: &[&[u8]]| {
            let kind = kind.to_be_bytes();
            let all: Vec<&[u8]> = std::iter::once(&kind[..]).chain(parts.iter().copied()).collect();
            say(rep::INFO, &all)
        };
        let flags = terms.flags().to_be_bytes();
        tell(info::EXPORT, &[&terms.geometry.size.to_be_bytes(), &flags])?;
        let texts = [(info::NAME, &export.name), (info::DESCRIPTION, &export.description)];
        for (kind, text) in texts {
            if asked.wants(kind) && text.len() <= STRING_MAX {
                tell(kind, &[text.as_bytes()])?;
            }
        }
        if asked.wants(info::BLOCK_SIZE) {
            let geometry = &terms.geometry;
            let sizes = [geometry.minimum_block, geometry.preferred_block, PAYLOAD_MAX];
            let sizes = sizes.map(u32::to_be_bytes).concat();
            tell(info::BLOCK_SIZE, &[&sizes])?;
        }
        Ok(if go { Answer::Deal(export, Box::new(terms)) } else { Answer::Done })
    }

    fn list_contexts(
        &self,
        exports: &dyn Exports,
        data: &[u8],
        say: &mut Say<'_>,
    ) -> io::Result<Answer> {
        let asked = match option::meta(data) {
            Ok(asked) if self.style >= Style::Structured => asked,
            Ok(_) => return Answer::no(rep::ERR_INVALID, STRUCTURED_FIRST),
            Err(bad) => return Answer::no(rep::ERR_INVALID, bad),
        };
        let export = match exports.open(asked.name) {
            Ok(export) => export,
            Err(refusal) => return Answer::refused(&refusal),
        };
        for name in contexts::list(&*export.device, &asked.queries) {
            if name.len() <= STRING_MAX {
                say(rep::META_CONTEXT, &[&[0; 4], name.as_bytes()])?;
            }
        }
        Ok(Answer::Done)
    }

    fn set_contexts(
        &mut self,
        exports: &dyn Exports,
        data: &[u8],
        say: &mut Say<'_>,
    ) -> io::Result<Answer> {
        // A failure, too, replaces what was chosen before.
        self.chosen = None;
        let asked = match option::meta(data) {
            Ok(asked) if self.style >= Style::Structured => asked,
            Ok(_) => return Answer::no(rep::ERR_INVALID, STRUCTURED_FIRST),
            Err(bad) => return Answer::no(rep::ERR_INVALID, bad),
        };
        let export = match exports.open(asked.name) {
            Ok(export) => export,
            Err(refusal) => return Answer::refused(&refusal),
        };
        let Some(chosen) = contexts::choose(&*export.device, &asked.queries) else {
            return Answer::no(rep::ERR_TOO_BIG, "too many contexts at once");
        };
        for (id, (name, _)) in (0u32..).zip(&chosen) {
            say(rep::META_CONTEXT, &[&id.to_be_bytes(), name.as_bytes()])?;
        }
        let chosen = chosen.into_iter().map(|(_, context)| context).collect();
        self.chosen = Some((export.name, chosen));
        Ok(Answer::Done)
    }
}

const STRUCTURED_FIRST: &str = "contexts need structured replies or extended headers first";

fn list(exports: &dyn Exports, say: &mut Say<'_>) -> io::Result<Answer> {
    for Listed { name, description } in exports.list() {
        if name.len() > STRING_MAX || description.len() > STRING_MAX {
            continue;
        }
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
        say(rep::SERVER, &[&length, name.as_bytes(), description.as_bytes()])?;
    }
    Ok(Answer::Done)
}
