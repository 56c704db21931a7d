//! Finds the route of a request: host → path → method.
//!
//! An exact host is more specific than a wildcard, that than none. Paths are compared segment by
//! segment from the left: a literal is more specific than `{param}`, that than `{rest...}`. The path is
//! decided first and alone; a method that its routes do not take is 405, never another, less specific
//! path: a rule for `/orders/export` cannot be gone around by a method that only `/orders/{id}` takes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::path::{CanonicalPath, canonical_host, decoded};
use crate::pattern::{Pattern, Segment};
use crate::snapshot::Route;

#[derive(Debug, Default)]
pub(crate) struct Matcher {
    exact: HashMap<Box<str>, Trie>,
    /// By what follows the `*`: `.example.com`.
    wildcard: HashMap<Box<str>, Trie>,
    any: Trie,
}

/// What there is at a host and path.
#[derive(Debug)]
pub enum Found<'a> {
    Route(&'a Arc<Route>),
    /// The path exists, but not for this method; the methods it takes, for `Allow`.
    MethodNotAllowed(Vec<&'a str>),
    Nothing,
}

#[derive(Debug, Default)]
struct Trie {
    literals: HashMap<Box<str>, Trie>,
    param: Option<Box<Trie>>,
    rest: Leaf,
    here: Leaf,
}

type Leaf = Vec<Arc<Route>>;

impl Matcher {
    /// Adds a route to each of its hosts; the routes that would be ambiguous with it are returned.
    pub fn add(&mut self, route: &Arc<Route>) -> Vec<Arc<Route>> {
        let mut rivals = Vec::new();
        let mut add = |trie: &mut Trie| {
            let shape = &route.pattern.segments;
            trie.rivals(shape, Lead::default(), &mut |rival| {
                if methods_overlap(rival, route) && !rivals.iter().any(|known| Arc::ptr_eq(known, rival)) {
                    rivals.push(Arc::clone(rival));
                }
            });
            trie.insert(shape, route);
        };
        if route.hosts.is_empty() {
            add(&mut self.any);
        }
        for host in &route.hosts {
            match host.strip_prefix('*') {
                Some(suffix) => add(self.wildcard.entry(suffix.into()).or_default()),
                None => add(self.exact.entry(host.as_str().into()).or_default()),
            }
        }
        rivals
    }

    pub fn find(&self, method: &str, authority: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        let host = canonical_host(authority);
        let exact = if self.exact.is_empty() { None } else { self.exact.get(&*host) };
        let wildcard = match host.find('.') {
            Some(dot) if !self.wildcard.is_empty() => host.get(dot..).and_then(|suffix| self.wildcard.get(suffix)),
            _ => None,
        };
        let leaf = [exact, wildcard, Some(&self.any)]
            .into_iter()
            .flatten()
            .find_map(|trie| trie.find(path.as_str().strip_prefix('/')));
        match leaf {
            Some(leaf) => in_leaf(leaf, method),
            None => Found::Nothing,
        }
    }
}

fn in_leaf<'a>(leaf: &'a Leaf, method: &str) -> Found<'a> {
    let takes = |wanted: &str| leaf.iter().find(|route| route.methods.iter().any(|own| own == wanted));
    let route = takes(method)
        // RFC 9110 §9.3.2: HEAD is GET without the content.
        .or_else(|| if method == "HEAD" { takes("GET") } else { None })
        .or_else(|| leaf.iter().find(|route| route.methods.is_empty()));
    match route {
        Some(route) => Found::Route(route),
        None => {
            let mut allow: BTreeSet<&str> =
                leaf.iter().flat_map(|route| route.methods.iter().map(String::as_str)).collect();
            if allow.contains("GET") {
                allow.insert("HEAD");
            }
            Found::MethodNotAllowed(allow.into_iter().collect())
        }
    }
}

/// Explicit methods are more specific than "every method", so only two of the same sort collide.
fn methods_overlap(a: &Route, b: &Route) -> bool {
    match (a.methods.is_empty(), b.methods.is_empty()) {
        (true, true) => true,
        (false, false) => a.methods.iter().any(|method| b.methods.contains(method)),
        _ => false,
    }
}

/// Who has been more specific somewhere on the way: both = neither is, as a whole.
#[derive(Debug, Clone, Copy, Default)]
struct Lead {
    old: bool,
    new: bool,
}

impl Trie {
    fn insert(&mut self, segments: &[Segment], route: &Arc<Route>) {
        match segments.split_first() {
            None => self.here.push(Arc::clone(route)),
            Some((Segment::Rest(_), _)) => self.rest.push(Arc::clone(route)),
            Some((Segment::Param(_), tail)) => self.param.get_or_insert_default().insert(tail, route),
            Some((Segment::Literal { decoded, .. }, tail)) => {
                self.literals.entry(decoded.clone()).or_default().insert(tail, route);
            }
        }
    }

    /// `rest` is what stands behind the last slash; `None` at the end.
    fn find(&self, rest: Option<&str>) -> Option<&Leaf> {
        let Some(rest) = rest else {
            return if self.here.is_empty() { None } else { Some(&self.here) };
        };
        let (segment, tail) = match rest.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (rest, None),
        };
        if let Some(child) = self.literals.get(&*decoded(segment))
            && let Some(leaf) = child.find(tail)
        {
            return Some(leaf);
        }
        if let Some(child) = &self.param
            && !segment.is_empty()
            && let Some(leaf) = child.find(tail)
        {
            return Some(leaf);
        }
        if self.rest.is_empty() { None } else { Some(&self.rest) }
    }

    /// Routes whose path overlaps with a new one without one of the two being the more specific.
    fn rivals(&self, segments: &[Segment], lead: Lead, found: &mut dyn FnMut(&Arc<Route>)) {
        let ambiguous = |lead: Lead| lead.old == lead.new;
        match segments.split_first() {
            None => {
                if ambiguous(lead) {
                    self.here.iter().for_each(found);
                }
                return;
            }
            Some((Segment::Rest(_), _)) => {
                if ambiguous(lead) {
                    self.rest.iter().for_each(&mut *found);
                }
                if lead.new {
                    self.below(found);
                }
                return;
            }
            Some((Segment::Literal { decoded, .. }, tail)) => {
                if let Some(child) = self.literals.get(decoded) {
                    child.rivals(tail, lead, found);
                }
                if let Some(child) = self.param.as_ref().filter(|_| !decoded.is_empty()) {
                    child.rivals(tail, Lead { new: true, ..lead }, found);
                }
            }
            Some((Segment::Param(_), tail)) => {
                for (literal, child) in &self.literals {
                    if !literal.is_empty() {
                        child.rivals(tail, Lead { old: true, ..lead }, found);
                    }
                }
                if let Some(child) = &self.param {
                    child.rivals(tail, lead, found);
                }
            }
        }
        if lead.old {
            self.rest.iter().for_each(found);
        }
    }

    fn below(&self, found: &mut dyn FnMut(&Arc<Route>)) {
        for child in self.literals.values().chain(self.param.as_deref()) {
            child.here.iter().for_each(&mut *found);
            child.rest.iter().for_each(&mut *found);
            child.below(found);
        }
    }
}

/// Whether a rewrite names only parameters that the match has.
pub(crate) fn unknown_parameter<'a>(template: &'a Pattern, matched: &Pattern) -> Option<&'a str> {
    template.parameters().find(|name| matched.parameters().all(|own| own != *name))
}
