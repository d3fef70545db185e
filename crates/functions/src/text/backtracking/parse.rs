//! Java's syntax as a tree. Sets of characters are left to the regex crate.

use super::super::java_regex::rust_text;
use super::{Anchor, Backtracking, Greed, Node, Set};

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold: bool,
    dot_all: bool,
    multi_line: bool,
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    groups: usize,
    names: Vec<(String, usize)>,
}

/// Parses a whole pattern.
pub(super) fn parse(pattern: &str) -> Result<Backtracking, String> {
    let mut parser = Parser { rest: pattern, flags: Flags::default(), groups: 0, names: vec![] };
    let root = parser.alternatives()?;
    if !parser.rest.is_empty() {
        return Err("a parenthesis is closed that is not open".into());
    }
    Ok(Backtracking { root, groups: parser.groups, names: parser.names })
}

impl<'a> Parser<'a> {
    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Everything up to `)` or the end; flags set inside end with it.
    fn alternatives(&mut self) -> Result<Node, String> {
        let flags = self.flags;
        let mut branches = vec![];
        loop {
            branches.push(self.sequence()?);
            if !self.eat("|") {
                break;
            }
        }
        self.flags = flags;
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Alternate(branches),
        })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = vec![];
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            if self.eat(r"\Q") {
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                nodes.extend(quoted.chars().map(|c| self.char(c)));
                if let Some(last) = nodes.pop() {
                    nodes.push(self.quantified(last)?);
                }
            } else if let Some(atom) = self.atom()? {
                nodes.push(self.quantified(atom)?);
            }
        }
        Ok(Node::Concat(nodes))
    }

    fn char(&self, c: char) -> Node {
        if self.flags.fold { Node::Folded(c) } else { Node::Char(c) }
    }

    /// One thing that can be repeated; none for flags and the like.
    fn atom(&mut self) -> Result<Option<Node>, String> {
        let before = self.rest;
        let Some(c) = self.next() else { return Ok(None) };
        Ok(Some(match c {
            '(' => return self.group(),
            '[' => {
                self.rest = class_end(self.rest).ok_or("a class is not closed")?;
                self.set(&before[..before.len() - self.rest.len()])?
            }
            '.' if self.flags.dot_all => self.set(r"[\s\S]")?,
            '.' => self.set(".")?,
            '^' => Node::Anchor(if self.flags.multi_line { Anchor::LineStart } else { Anchor::Start }),
            '$' => Node::Anchor(if self.flags.multi_line { Anchor::LineEnd } else { Anchor::End }),
            '\\' => return self.escape(before),
            '*' | '+' | '?' | '{' => return Err(format!("`{c}` repeats nothing")),
            _ => self.char(c),
        }))
    }

    fn set(&self, java: &str) -> Result<Node, String> {
        let fold = if self.flags.fold { "(?i)" } else { "" };
        let others = regex::Regex::new(&format!(r"{fold}\A(?:{})\z", rust_text(java)?)).map_err(|e| e.to_string())?;
        let mut ascii = [false; 128];
        for (code, slot) in (0u8..).zip(ascii.iter_mut()) {
            *slot = others.is_match(char::from(code).encode_utf8(&mut [0; 4]));
        }
        Ok(Node::Set(Set { ascii, others }))
    }

    fn escape(&mut self, before: &'a str) -> Result<Option<Node>, String> {
        let c = self.next().ok_or("the pattern ends with a backslash")?;
        Ok(Some(match c {
            'b' => Node::Anchor(Anchor::WordBoundary),
            'B' => Node::Anchor(Anchor::NoWordBoundary),
            'A' => Node::Anchor(Anchor::Start),
            'Z' => Node::Anchor(Anchor::End),
            'z' => Node::Anchor(Anchor::VeryEnd),
            'E' => return Ok(None),
            'G' | 'X' | 'R' => return Err(format!(r"`\{c}` is not supported beside look-around")),
            'k' => {
                let name = self.rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
                let (name, rest) = name.ok_or("a name is missing")?;
                self.rest = rest;
                let known = self.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group);
                Node::BackReference(known.ok_or_else(|| format!("there is no group `{name}`"))?)
            }
            '1'..='9' => self.reference(c),
            _ => {
                let length = escape_length(&before[1..]).ok_or("an escape is not complete")?;
                self.rest = before.get(1 + length..).ok_or("an escape is not complete")?;
                self.set(&before[..1 + length])?
            }
        }))
    }

    /// `\12` is group 12 if there is one by now, else group 1 and a `2`.
    fn reference(&mut self, first: char) -> Node {
        let mut group = first as usize - '0' as usize;
        while let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(10)) {
            let longer = group * 10 + digit as usize;
            if longer > self.groups {
                break;
            }
            group = longer;
            self.rest = &self.rest[1..];
        }
        Node::BackReference(group)
    }

    fn group(&mut self) -> Result<Option<Node>, String> {
        if !self.eat("?") {
            return self.capture(None).map(Some);
        }
        for (opening, ahead, negative) in
            [("=", true, false), ("!", true, true), ("<=", false, false), ("<!", false, true)]
        {
            if self.eat(opening) {
                let inner = Box::new(self.closed()?);
                return Ok(Some(Node::Look { ahead, negative, inner }));
            }
        }
        if self.eat(">") {
            return Ok(Some(Node::Atomic(Box::new(self.closed()?))));
        }
        if self.eat("<") {
            let (name, rest) = self.rest.split_once('>').ok_or("a name is not closed")?;
            if name.is_empty() || self.names.iter().any(|(known, _)| known == name) {
                return Err(format!("`{name}` cannot name a group"));
            }
            self.rest = rest;
            return self.capture(Some(name)).map(Some);
        }
        let outer = self.flags;
        if self.read_flags()? {
            return Ok(None);
        }
        let node = self.closed()?;
        self.flags = outer;
        Ok(Some(node))
    }

    /// Reads flags; true if they hold for the rest of the enclosing group (`(?i)`), false before a group of their own.
    fn read_flags(&mut self) -> Result<bool, String> {
        let mut on = true;
        loop {
            match self.next() {
                Some(')') => return Ok(true),
                Some(':') => return Ok(false),
                Some('-') => on = false,
                Some('i') => self.flags.fold = on,
                Some('s') => self.flags.dot_all = on,
                Some('m') => self.flags.multi_line = on,
                Some('d' | 'u' | 'U') => {}
                _ => return Err("unknown flag".into()),
            }
        }
    }

    fn capture(&mut self, name: Option<&str>) -> Result<Node, String> {
        self.groups += 1;
        let group = self.groups;
        self.names.extend(name.map(|name| (name.to_string(), group)));
        Ok(Node::Group(group, Box::new(self.closed()?)))
    }

    fn closed(&mut self) -> Result<Node, String> {
        let inner = self.alternatives()?;
        if self.eat(")") { Ok(inner) } else { Err("a group is not closed".into()) }
    }

    fn quantified(&mut self, atom: Node) -> Result<Node, String> {
        let mut node = atom;
        while let Some((least, most)) = self.quantifier()? {
            let greed = match () {
                () if self.eat("?") => Greed::Lazy,
                () if self.eat("+") => Greed::Possessive,
                () => Greed::Greedy,
            };
            node = Node::Repeat { inner: Box::new(node), least, most, greed };
        }
        Ok(node)
    }

    fn quantifier(&mut self) -> Result<Option<(usize, usize)>, String> {
        for (sign, least, most) in [("*", 0, usize::MAX), ("+", 1, usize::MAX), ("?", 0, 1)] {
            if self.eat(sign) {
                return Ok(Some((least, most)));
            }
        }
        if !self.eat("{") {
            return Ok(None);
        }
        let (bounds, rest) = self.rest.split_once('}').ok_or("a quantifier is not closed")?;
        self.rest = rest;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no number of repetitions"));
        let (least, most) = match bounds.split_once(',') {
            None => (number(bounds)?, number(bounds)?),
            Some((least, "")) => (number(least)?, usize::MAX),
            Some((least, most)) => (number(least)?, number(most)?),
        };
        if least > most {
            Err("the bounds of a quantifier are the wrong way round".into())
        } else {
            Ok(Some((least, most)))
        }
    }
}

/// What follows a class whose `[` has been read.
fn class_end(text: &str) -> Option<&str> {
    let mut depth = 1;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            '[' => depth += 1,
            ']' => {
                depth -= 1;
                if depth == 0 {
                    return text.get(at + 1..);
                }
            }
            _ => {}
        }
    }
    None
}

/// Length in bytes of an escape whose backslash has been read.
fn escape_length(text: &str) -> Option<usize> {
    let c = text.chars().next()?;
    let braced = |text: &str| text.find('}').map(|at| at + 1);
    Some(match c {
        'x' if text.starts_with("x{") => braced(text)?,
        'x' => 3,
        'u' => 5,
        'c' => 1 + text.get(1..)?.chars().next()?.len_utf8(),
        '0' => 1 + text.bytes().skip(1).take(3).take_while(|b| (b'0'..=b'7').contains(b)).count(),
        'p' | 'P' if text.get(1..)?.starts_with('{') => braced(text)?,
        'p' | 'P' => 1 + text.get(1..)?.chars().next()?.len_utf8(),
        _ => c.len_utf8(),
    })
}
