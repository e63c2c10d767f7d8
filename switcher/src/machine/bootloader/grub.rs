//! What GRUB starts, by `grub.cfg` as NixOS writes it (nixpkgs, install-grub.pl) and by its environment
//! block, `grubenv` (GRUB's manual, "The GRUB environment block"). Pure: what was read goes in.

use super::init_of;
use crate::machine::system::{BootDefault, Pin, PinKind};
use crate::protocol::Toplevel;

/// What `boot.loader.grub.default = "saved"` writes.
const SAVED: &str = "${saved_entry}";
/// What grub-reboot sets, for one boot.
const NEXT: &str = "${next_entry}";
/// More levels than any menu has.
const DEEPEST: usize = 16;

/// An entry of the menu, or a menu in it.
#[derive(Debug, Default)]
struct Node {
    title: String,
    id: Option<String>,
    words: Vec<String>,
    inside: Option<Vec<Node>>,
}

/// What it starts.
pub fn decide(conf: &str, environment: &str) -> BootDefault {
    let words = words(conf);
    let menu = menu(&mut words.iter().map(String::as_str), 0);
    let Some(first) = menu.first() else {
        return BootDefault::Broken("grub.cfg has no entry".to_owned());
    };
    let default = conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("set default="))
        .map(|value| value.trim_matches(['"', '\'']))
        .find(|value| *value != NEXT);
    let set = |name: &str| {
        let values = environment.lines().filter_map(|line| line.split_once('='));
        let mut values = values.filter(|(key, _)| *key == name);
        values
            .next()
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    };
    let wanted = default.filter(|default| *default != SAVED);
    let Some(installed) = entry(&menu, wanted.unwrap_or("0")) else {
        return BootDefault::Unknown(format!("grub.cfg's default is {}", wanted.unwrap_or("0")));
    };
    let system = system(installed);
    let pin = |name: &str, undo: &str, kind| {
        let starts = entry(&menu, set(name)?).and_then(self::system);
        (starts.is_none() || starts != system).then(|| {
            BootDefault::Pinned(Pin {
                installed: system.clone(),
                starts,
                by: format!("grubenv has {name}={}", set(name).unwrap_or_default()),
                undo: undo.to_owned(),
                kind,
            })
        })
    };
    let saved = "grub-editenv - unset saved_entry";
    let saved = || pin("saved_entry", saved, PinKind::Remembered);
    let lasting = (default == Some(SAVED)).then(saved).flatten();
    let next = || {
        pin(
            "next_entry",
            "grub-editenv - unset next_entry",
            PinKind::Once,
        )
    };
    match lasting.or_else(next) {
        Some(pinned) => pinned,
        None => match system {
            Some(system) => BootDefault::System(system),
            None => BootDefault::Broken(format!(
                "the entry {} of grub.cfg names no system",
                first.title
            )),
        },
    }
}

fn system(node: &Node) -> Option<Toplevel> {
    init_of(&node.words.join(" "))
}

/// The entry that this names by number, title or id, and by `>` in a menu of the menu. What names none
/// stands for the first (GRUB, `get_entry_number`); a menu is not started by itself.
fn entry<'a>(menu: &'a [Node], name: &str) -> Option<&'a Node> {
    let (here, inside) = split(name);
    let number = || {
        here.parse::<usize>()
            .ok()
            .and_then(|number| menu.get(number))
    };
    let is = |node: &&Node| node.title == here || node.id.as_deref() == Some(here.as_str());
    let node = number()
        .or_else(|| menu.iter().find(is))
        .or_else(|| menu.first())?;
    match &node.inside {
        None => Some(node),
        Some(nodes) => entry(nodes, inside.as_deref()?),
    }
}

/// In a title, `>` is doubled.
fn split(name: &str) -> (String, Option<String>) {
    let plain = |text: &str| text.replace(">>", ">");
    let mut rest = name.char_indices().peekable();
    while let Some((at, sign)) = rest.next() {
        if sign != '>' {
            continue;
        }
        match rest.peek() {
            Some((_, '>')) => drop(rest.next()),
            _ => return (plain(&name[..at]), Some(name[at + 1..].to_owned())),
        }
    }
    (plain(name), None)
}

/// Up to the end of this block.
fn menu(words: &mut dyn Iterator<Item = &str>, depth: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut blocks = 0_usize;
    while let Some(word) = words.next() {
        match word {
            "menuentry" | "submenu" if depth < DEEPEST => {
                let mut node = Node {
                    title: words.next().unwrap_or_default().to_owned(),
                    ..Node::default()
                };
                while let Some(option) = words.next().filter(|option| *option != "{") {
                    if option == "--id" {
                        node.id = words.next().map(str::to_owned);
                    }
                }
                match word {
                    "submenu" => node.inside = Some(menu(words, depth + 1)),
                    _ => node.words = block(words),
                }
                nodes.push(node);
            }
            "{" => blocks += 1,
            "}" if blocks == 0 && depth > 0 => break,
            "}" => blocks = blocks.saturating_sub(1),
            _ => {}
        }
    }
    nodes
}

fn block(words: &mut dyn Iterator<Item = &str>) -> Vec<String> {
    let mut open = 0_usize;
    let mut found = Vec::new();
    for word in words {
        match word {
            "{" => open += 1,
            "}" if open == 0 => break,
            "}" => open -= 1,
            _ => {}
        }
        found.push(word.to_owned());
    }
    found
}

/// Words as GRUB's shell reads them, without their quotes; the comments are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '#' if word.is_none() => {
                signs.by_ref().find(|sign| *sign == '\n');
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inside) = signs.next().filter(|inside| *inside != sign) {
                    match inside {
                        '\\' if sign == '"' => word.extend(signs.next()),
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(signs.next()),
            sign if sign.is_whitespace() || sign == ';' => words.extend(word.take()),
            sign => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}
