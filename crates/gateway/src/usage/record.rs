//! A usage record on the disk: length, checksum, then the fields in a fixed order. What does not bear its
//! checksum is where the log ends.

use std::time::Duration;

use base::Time;
use catalog::usage::{Outcome, UsageRecord, Way};

use crate::edge::Steps;
use crate::policy::{Judged, Policies};

/// A call to be written, borrowed from its exchange.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub id: &'a str,
    pub at: Time,
    pub api: &'a str,
    pub operation: &'a str,
    pub method: &'a str,
    pub client: Option<&'a str>,
    pub subscription: Option<&'a str>,
    pub plan: Option<&'a str>,
    pub status: u16,
    pub outcome: Outcome,
    pub reason: Option<&'a str>,
    pub units: u32,
    pub micros: u64,
    pub way: Passed<'a>,
}

/// How it passed the steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed<'a> {
    pub steps: &'a Steps,
    pub token: Option<&'static str>,
    pub judged: Option<&'a Judged>,
    pub shadowed: Option<&'static str>,
    pub told: Option<&'a str>,
    /// As the caller was told, and as the caller was not.
    pub parts: [Option<&'a str>; 2],
}

const VERSION: u8 = 1;
/// A frame that says nothing: written to see whether the disk takes anything.
const NOTHING: u8 = 0;
const HEAD: usize = 6;
/// Names are shorter; a `client_id` that is not is cut, so that a record stays small.
const LONGEST: usize = 1024;
const NONE: u16 = u16::MAX;
/// What follows the fields is the way. An older program reads no further than the fields, and a record that it wrote
/// ends there.
const WAY: u8 = 1;
/// Of the ids of policies together.
const MOST_IDS: usize = 200;

/// Appends a frame.
pub(super) fn encode(call: &Call<'_>, out: &mut Vec<u8>) {
    frame(out, |out| {
        out.push(VERSION);
        out.push(match call.outcome {
            Outcome::Served => 0,
            Outcome::Refused => 1,
            Outcome::Failed => 2,
        });
        out.extend_from_slice(&call.status.to_le_bytes());
        out.extend_from_slice(&call.units.to_le_bytes());
        out.extend_from_slice(&call.at.ms().to_le_bytes());
        out.extend_from_slice(&call.micros.to_le_bytes());
        for text in [call.id, call.api, call.operation, call.method] {
            put(out, Some(text));
        }
        for text in [call.client, call.subscription, call.plan, call.reason] {
            put(out, text);
        }
        put_way(&call.way, out);
    });
}

fn put_way(way: &Passed<'_>, out: &mut Vec<u8>) {
    out.push(WAY);
    let steps = way.steps;
    let nanos = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    for number in
        [nanos(steps.identified), nanos(steps.admitted), nanos(steps.permitted), steps.rate_left, steps.quota_left]
    {
        put_number(out, number);
    }
    let token_end = steps.token_end.as_ref().and_then(|end| std::str::from_utf8(end).ok());
    let verdict = way.judged.map(|judged| judged.verdict);
    for text in [way.token, token_end, steps.grant.as_deref(), verdict, way.shadowed] {
        put(out, text);
    }
    match way.judged.map(|judged| &judged.policies) {
        Some(Policies::Own(policies)) => put_ids(out, policies.iter().map(|info| info.id.as_str())),
        Some(Policies::Told(ids)) => put_ids(out, ids.iter().map(String::as_str)),
        None => put(out, None),
    }
    for text in [way.told, way.parts[0], way.parts[1]] {
        put(out, text);
    }
}

/// As many as there is room for, with a space between: put together where they are wanted, not before.
fn put_ids<'a>(out: &mut Vec<u8>, ids: impl Iterator<Item = &'a str>) {
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    let begin = out.len();
    for id in ids {
        let space = usize::from(out.len() > begin);
        if out.len().saturating_sub(begin).saturating_add(space).saturating_add(id.len()) > MOST_IDS {
            break;
        }
        out.extend(std::iter::repeat_n(b' ', space));
        out.extend_from_slice(id.as_bytes());
    }
    let length = u16::try_from(out.len().saturating_sub(begin)).unwrap_or(0);
    if let Some(head) = out.get_mut(at..begin) {
        head.copy_from_slice(&length.to_le_bytes());
    }
}

/// One more than the number, seven bits in each byte, the low ones first; 0: there is none.
fn put_number(out: &mut Vec<u8>, number: Option<u64>) {
    let mut rest = number.map_or(0, |number| number.saturating_add(1));
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

pub(super) fn encode_nothing(bytes: u16, out: &mut Vec<u8>) {
    frame(out, |out| out.resize(out.len().saturating_add(usize::from(bytes.max(1))), NOTHING));
}

fn frame(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    fill(out);
    let payload = out.get(start.saturating_add(HEAD)..).unwrap_or_default();
    let length = u16::try_from(payload.len()).unwrap_or(0).to_le_bytes();
    let sum = crc32fast::hash(payload).to_le_bytes();
    if let Some(head) = out.get_mut(start..start.saturating_add(HEAD)) {
        head.copy_from_slice(&[length[0], length[1], sum[0], sum[1], sum[2], sum[3]]);
    }
}

fn put(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return out.extend_from_slice(&NONE.to_le_bytes()) };
    let text = shortened(text);
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn shortened(text: &str) -> &str {
    (0..=LONGEST.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// What stands at the beginning of a piece of log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// And how many bytes it takes.
    Record(Box<UsageRecord>, usize),
    Nothing(usize),
    /// Whole, but of a later version of the program, which alone can read it.
    Later(usize),
    /// Nothing whole follows.
    End,
}

pub(super) fn decode(bytes: &[u8]) -> Frame {
    let Some((length, payload)) = payload(bytes) else { return Frame::End };
    match payload.first() {
        Some(&NOTHING) => Frame::Nothing(length),
        Some(&VERSION) => match fields(payload.get(1..).unwrap_or_default()) {
            Some(record) => Frame::Record(Box::new(record), length),
            None => Frame::End,
        },
        Some(_) => Frame::Later(length),
        None => Frame::End,
    }
}

/// Where behind the beginning the next frame stands that can be read: what to go on with when something is damaged.
pub(super) fn next_whole(bytes: &[u8]) -> Option<usize> {
    (1..bytes.len()).find(|at| {
        let rest = bytes.get(*at..).unwrap_or_default();
        // Looked at first, since most places are none, and checksums cost time.
        let known = rest.get(HEAD).is_some_and(|version| [NOTHING, VERSION].contains(version));
        known && matches!(decode(rest), Frame::Record(..) | Frame::Nothing(_))
    })
}

/// Whether these bytes, which are no whole frame, are what an interrupted write leaves at the end of a file: a frame
/// that is longer than what there is of it, or room that was never written to.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    let longer = match bytes {
        [l0, l1, ..] => HEAD.saturating_add(usize::from(u16::from_le_bytes([*l0, *l1]))) > bytes.len(),
        _ => true,
    };
    longer || bytes.iter().all(|byte| *byte == 0)
}

fn payload(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let head: [u8; HEAD] = bytes.get(..HEAD)?.try_into().ok()?;
    let [l0, l1, sum @ ..] = head;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let end = HEAD.saturating_add(length);
    let payload = bytes.get(HEAD..end).filter(|payload| !payload.is_empty())?;
    (crc32fast::hash(payload) == u32::from_le_bytes(sum)).then_some((end, payload))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn text(&mut self) -> Option<Option<String>> {
        let length = u16::from_le_bytes(self.take()?);
        if length == NONE {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(Some(String::from_utf8(text.to_vec()).ok()?))
    }

    fn number(&mut self) -> Option<Option<u64>> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number.checked_sub(1));
            }
        }
        None
    }
}

fn fields(bytes: &[u8]) -> Option<UsageRecord> {
    let mut reader = Reader(bytes);
    let [outcome] = reader.take()?;
    let outcome = match outcome {
        0 => Outcome::Served,
        1 => Outcome::Refused,
        2 => Outcome::Failed,
        _ => return None,
    };
    let status = u16::from_le_bytes(reader.take()?);
    let units = u32::from_le_bytes(reader.take()?);
    let at = i64::from_le_bytes(reader.take()?);
    let micros = u64::from_le_bytes(reader.take()?);
    let mut record = UsageRecord {
        at,
        status,
        outcome,
        units,
        micros,
        id: reader.text()??,
        api: reader.text()??,
        operation: reader.text()??,
        method: reader.text()??,
        client: reader.text()?,
        subscription: reader.text()?,
        plan: reader.text()?,
        reason: reader.text()?,
        way: None,
    };
    // A way that cannot be read is none: what is counted stands before it.
    record.way = way(&mut reader).map(Box::new);
    Some(record)
}

fn way(reader: &mut Reader<'_>) -> Option<Way> {
    let [WAY] = reader.take()? else { return None };
    let mut way = Way {
        identified_ns: reader.number()?,
        admitted_ns: reader.number()?,
        permitted_ns: reader.number()?,
        rate_left: reader.number()?,
        quota_left: reader.number()?,
        token: reader.text()?,
        token_end: reader.text()?,
        grant: reader.text()?,
        verdict: reader.text()?,
        shadowed: reader.text()?,
        policies: reader.text()?,
        ..Way::default()
    };
    // Written by later versions of the program only.
    way.told = reader.text().flatten();
    let [told, withheld] = [reader.text().flatten(), reader.text().flatten()];
    way.parts_withheld = told.is_none() && withheld.is_some();
    way.parts = told.or(withheld);
    Some(way)
}
