//! From what the steps brought, or why there is nothing, to the answer.

use base::Problem;
use catalog::ReportWhen;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::answer::Answer;
use crate::composition::Composition;
use crate::partial::{Ending, Outcome, PartReport, Report};
use crate::shape::{Made, Shaped};

static PARTS: HeaderName = HeaderName::from_static("cardea-parts");

/// Why there is no answer.
pub(crate) struct Failed {
    pub status: StatusCode,
    pub slug: &'static str,
    pub detail: String,
}

impl Failed {
    pub fn too_large() -> Self {
        let detail = "the answer is larger than it may be".to_owned();
        Self { status: StatusCode::BAD_GATEWAY, slug: "composition_too_large", detail }
    }
}

pub(crate) fn finish(
    composition: &Composition,
    id: &str,
    shaped: Result<Shaped, Failed>,
    mut report: Report,
) -> Answer {
    report.ending = match (&shaped, is_whole(&report.parts)) {
        (Err(_), _) => Ending::Failed,
        (Ok(_), false) => Ending::Partial,
        (Ok(_), true) => Ending::Complete,
    };
    let mut slug = None;
    let mut fail = |failed: Failed, report: &Report| {
        slug = Some(failed.slug);
        problem(composition, id, failed, report)
    };
    let answer = shaped.map(|shaped| dress(composition, shaped, &report).into_parts());
    let too_large = |body: &bytes::Bytes| body.len() > composition.max_answer;
    let (status, mut headers, body) = match answer {
        Ok((_, _, body)) if too_large(&body) => {
            report.ending = Ending::Failed;
            fail(Failed::too_large(), &report)
        }
        Ok(answer) => answer,
        Err(failed) => fail(failed, &report),
    };
    if !report.parts.is_empty()
        && composition.partial.report != ReportWhen::Never
        && let Ok(value) = HeaderValue::try_from(report.summary())
    {
        headers.insert(PARTS.clone(), value);
    }
    Answer { status, headers, body, report, problem: slug }
}

fn is_whole(parts: &[PartReport]) -> bool {
    !parts.iter().any(|part| matches!(part.outcome, Outcome::Failed | Outcome::Fallback))
}

/// Whether the answer has a member that tells of its parts.
pub(crate) fn tells(composition: &Composition, parts: &[PartReport]) -> bool {
    match composition.partial.report {
        ReportWhen::Always => !parts.is_empty(),
        ReportWhen::Partial => !is_whole(parts),
        ReportWhen::Never => false,
    }
}

/// Gives an answer its status and its report.
fn dress(composition: &Composition, mut shaped: Shaped, report: &Report) -> Shaped {
    let partial = report.ending == Ending::Partial;
    if let (true, Some(status)) = (partial, composition.partial.status) {
        shaped.status = status;
    }
    let tell = tells(composition, &report.parts);
    // In a merged answer a member of the same name gives way: the report stands.
    if let (true, Made::Json(Value::Object(members))) = (tell, &mut shaped.content) {
        members.insert(composition.partial.member.clone(), serde_json::to_value(&report.parts).unwrap_or_default());
    }
    shaped
}

fn problem(
    composition: &Composition,
    id: &str,
    failed: Failed,
    report: &Report,
) -> (StatusCode, HeaderMap, bytes::Bytes) {
    let Failed { status, slug, detail } = failed;
    let mut problem = Problem::new(status, slug, "The answer could not be put together").detail(detail);
    problem.request_id = (!id.is_empty()).then(|| id.to_owned());
    let mut body = serde_json::to_value(&problem).unwrap_or_default();
    let tell = composition.partial.report != ReportWhen::Never;
    if let (true, Value::Object(members)) = (tell, &mut body) {
        // RFC 9457 §3.2: members of our own.
        members.insert("parts".to_owned(), serde_json::to_value(&report.parts).unwrap_or_default());
        if !report.compensated.is_empty() {
            members.insert("compensated".to_owned(), serde_json::to_value(&report.compensated).unwrap_or_default());
        }
    }
    let (parts, _) = problem.into_response::<Vec<u8>>().into_parts();
    (status, parts.headers, serde_json::to_vec(&body).unwrap_or_default().into())
}
