//! Running a tree over a text: every way to match in Java's order, until the rest of the pattern agrees.

use super::super::java_regex::Groups;
use super::{Anchor, Backtracking, DEPTH_MAX, Greed, Node, STEPS_MAX, TooMuch};

/// What the rest of the pattern says of a position.
type Next<'n, 't> = &'n mut dyn FnMut(&mut Run<'t>, usize) -> Result<bool, TooMuch>;

struct Run<'t> {
    text: &'t str,
    groups: Groups,
    steps: usize,
    depth: usize,
}

/// The first match that begins at `start` or later.
pub(super) fn search(pattern: &Backtracking, text: &str, start: usize) -> Result<Option<Groups>, TooMuch> {
    let mut run = Run { text, groups: vec![], steps: 0, depth: 0 };
    let rest = text.get(start..).unwrap_or_default();
    let starts = rest.char_indices().map(|(at, _)| start + at).chain(std::iter::once(text.len()));
    for start in starts {
        run.groups = vec![None; pattern.groups + 1];
        let mut end = start;
        let found = run.node(&pattern.root, start, &mut |_, at| {
            end = at;
            Ok(true)
        })?;
        if found {
            if let Some(whole) = run.groups.first_mut() {
                *whole = Some(start..end);
            }
            return Ok(Some(run.groups));
        }
    }
    Ok(None)
}

impl<'t> Run<'t> {
    fn char_at(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }

    fn char_before(&self, at: usize) -> Option<char> {
        self.text.get(..at)?.chars().next_back()
    }

    /// Matches a node at a position and then the rest of the pattern.
    fn node(&mut self, node: &Node, at: usize, next: Next<'_, 't>) -> Result<bool, TooMuch> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return Err(TooMuch);
        }
        self.depth += 1;
        let found = stacker::maybe_grow(64 << 10, 4 << 20, || self.attempt(node, at, next));
        self.depth -= 1;
        found
    }

    fn attempt(&mut self, node: &Node, at: usize, next: Next<'_, 't>) -> Result<bool, TooMuch> {
        match node {
            Node::Char(_) | Node::Folded(_) | Node::Set(_) => match self.one(node, at) {
                Some(end) => next(self, end),
                None => Ok(false),
            },
            Node::Anchor(anchor) => Ok(self.holds(*anchor, at) && next(self, at)?),
            Node::Concat(nodes) => self.sequence(nodes, at, next),
            Node::Alternate(branches) => {
                for branch in branches {
                    if self.node(branch, at, next)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Group(group, inner) => self.node(inner, at, &mut |run, end| {
                let before = run.groups.get(*group).cloned().flatten();
                run.set_group(*group, Some(at..end));
                let found = next(run, end)?;
                if !found {
                    run.set_group(*group, before);
                }
                Ok(found)
            }),
            Node::Atomic(inner) => match self.first_end(inner, at)? {
                Some(end) => next(self, end),
                None => Ok(false),
            },
            Node::Look { ahead, negative, inner } => {
                let before = self.groups.clone();
                let seen = if *ahead { self.first_end(inner, at)?.is_some() } else { self.ends_at(inner, at)? };
                if *negative || !seen {
                    self.groups = before;
                }
                Ok(seen != *negative && next(self, at)?)
            }
            Node::Repeat { inner, least, most, greed } => match **inner {
                Node::Char(_) | Node::Folded(_) | Node::Set(_) => {
                    self.repeat_one(inner, at, (*least, *most), *greed, next)
                }
                _ if *greed == Greed::Possessive => self.possessive(inner, at, (*least, *most), next),
                _ => self.repeat(inner, at, 0, (*least, *most), *greed == Greed::Lazy, next),
            },
            Node::BackReference(group) => {
                let Some(taken) = self.groups.get(*group).cloned().flatten() else { return Ok(false) };
                let same = self.text.get(at..).is_some_and(|rest| rest.starts_with(&self.text[taken.clone()]));
                Ok(same && next(self, at + taken.len())?)
            }
        }
    }

    fn set_group(&mut self, group: usize, range: Option<std::ops::Range<usize>>) {
        if let Some(slot) = self.groups.get_mut(group) {
            *slot = range;
        }
    }

    fn sequence(&mut self, nodes: &[Node], at: usize, next: Next<'_, 't>) -> Result<bool, TooMuch> {
        match nodes {
            [] => next(self, at),
            [last] => self.node(last, at, next),
            [first, rest @ ..] => self.node(first, at, &mut |run, end| run.sequence(rest, end, next)),
        }
    }

    /// Behind a single character, if it fits.
    fn one(&self, node: &Node, at: usize) -> Option<usize> {
        let c = self.char_at(at)?;
        let fits = match node {
            Node::Char(wanted) => c == *wanted,
            Node::Folded(wanted) => c == *wanted || c.to_lowercase().eq(wanted.to_lowercase()),
            Node::Set(set) => set.contains(c),
            _ => false,
        };
        fits.then(|| at + c.len_utf8())
    }

    /// A single character many times: needs no nesting.
    fn repeat_one(
        &mut self,
        node: &Node,
        start: usize,
        (least, most): (usize, usize),
        greed: Greed,
        next: Next<'_, 't>,
    ) -> Result<bool, TooMuch> {
        let mut ends = vec![start];
        let mut at = start;
        if greed == Greed::Lazy {
            for count in 0.. {
                if count >= least && next(self, at)? {
                    return Ok(true);
                }
                match self.one(node, at) {
                    Some(end) if count < most => at = end,
                    _ => break,
                }
            }
            return Ok(false);
        }
        while ends.len() <= most
            && let Some(end) = self.one(node, at)
        {
            ends.push(end);
            at = end;
        }
        self.steps += ends.len();
        while ends.len() > least
            && let Some(end) = ends.pop()
        {
            if next(self, end)? {
                return Ok(true);
            }
            if greed == Greed::Possessive {
                break;
            }
        }
        Ok(false)
    }

    fn repeat(
        &mut self,
        inner: &Node,
        at: usize,
        count: usize,
        (least, most): (usize, usize),
        lazy: bool,
        next: Next<'_, 't>,
    ) -> Result<bool, TooMuch> {
        if lazy && count >= least && next(self, at)? {
            return Ok(true);
        }
        if count < most {
            let more = self.node(inner, at, &mut |run, end| {
                // An empty repetition leads nowhere new.
                if end == at && count >= least {
                    return Ok(false);
                }
                run.repeat(inner, end, count + 1, (least, most), lazy, next)
            })?;
            if more {
                return Ok(true);
            }
        }
        Ok(!lazy && count >= least && next(self, at)?)
    }

    fn possessive(
        &mut self,
        inner: &Node,
        start: usize,
        (least, most): (usize, usize),
        next: Next<'_, 't>,
    ) -> Result<bool, TooMuch> {
        let (mut at, mut count) = (start, 0);
        while count < most {
            match self.first_end(inner, at)? {
                Some(end) if end > at || count < least => (at, count) = (end, count + 1),
                _ => break,
            }
        }
        Ok(count >= least && next(self, at)?)
    }

    /// Where the first way to match ends; its groups stay set.
    fn first_end(&mut self, inner: &Node, at: usize) -> Result<Option<usize>, TooMuch> {
        let mut found = None;
        self.node(inner, at, &mut |_, end| {
            found = Some(end);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Whether some match of the node ends at a position.
    fn ends_at(&mut self, inner: &Node, at: usize) -> Result<bool, TooMuch> {
        let mut start = at;
        loop {
            if self.node(inner, start, &mut |_, end| Ok(end == at))? {
                return Ok(true);
            }
            match self.char_before(start) {
                Some(c) => start -= c.len_utf8(),
                None => return Ok(false),
            }
        }
    }

    fn holds(&self, anchor: Anchor, at: usize) -> bool {
        let terminator = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let rest = self.text.get(at..).unwrap_or_default();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match anchor {
            Anchor::Start => at == 0,
            Anchor::VeryEnd => rest.is_empty(),
            Anchor::End => {
                rest.is_empty() || rest == "\r\n" || (rest.chars().count() == 1 && rest.starts_with(terminator))
            }
            Anchor::LineStart => at == 0 || (!rest.is_empty() && self.char_before(at).is_some_and(terminator)),
            Anchor::LineEnd => rest.is_empty() || rest.starts_with(terminator),
            Anchor::WordBoundary => word(self.char_before(at)) != word(self.char_at(at)),
            Anchor::NoWordBoundary => word(self.char_before(at)) == word(self.char_at(at)),
        }
    }
}
