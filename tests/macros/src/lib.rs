//! The attribute that registers a test on hosts with the lab's harness.

use proc_macro::{TokenStream, TokenTree};

/// Registers a function as a test on hosts, as the standard attribute of the same name does for other
/// tests. `#[test(weight = 3)]` takes the place of three tests, and `#[test(long)]` is started among
/// the first because it waits for long. `#[test(nixos)]` runs a second time on hosts that are NixOS,
/// `#[test(only_nixos)]` on these alone, and `#[test(only_stand_in = "the reason")]` never on them.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match registration(arguments, &item) {
        Ok(registered) => item.into_iter().chain(registered).collect(),
        Err(problem) => format!("compile_error!({problem:?});")
            .parse()
            .unwrap_or_default(),
    }
}

fn registration(arguments: TokenStream, item: &TokenStream) -> Result<TokenStream, String> {
    let name = function_name(item).ok_or("a test is a function")?;
    let (mut weight, mut long, mut machine) = ("1".to_owned(), false, false);
    let mut kinds = "StandIn";
    let mut only_stand_in = "None".to_owned();
    for argument in split(arguments) {
        let words: Vec<&str> = argument.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => {}
            ["long"] => long = true,
            ["machine"] => machine = true,
            ["nixos"] => kinds = "StandIn, ::lab::Kind::Nixos",
            ["only_nixos"] => kinds = "Nixos",
            ["only_stand_in", "=", reason] => only_stand_in = format!("Some({reason})"),
            ["weight", "=", number] => weight = (*number).to_owned(),
            _ => {
                return Err(format!(
                    "{:?} is not `long`, `machine`, `nixos`, `only_nixos`, `only_stand_in = \"the reason\"` or `weight = N`",
                    words.join(" ")
                ));
            }
        }
    }
    format!(
        "::lab::harness::submit! {{ ::lab::harness::Test {{
            name: concat!(module_path!(), \"::{name}\"),
            file: file!(),
            weight: {weight},
            long: {long},
            machine: {machine},
            kinds: &[::lab::Kind::{kinds}],
            only_stand_in: {only_stand_in},
            run: || ::lab::harness::Ending::ending({name}()),
        }} }}"
    )
    .parse()
    .map_err(|error| format!("{error}"))
}

/// The words of each argument; a text is one word.
fn split(arguments: TokenStream) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for token in arguments {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == ',' => all.push(Vec::new()),
            word => all
                .last_mut()
                .into_iter()
                .for_each(|last: &mut Vec<String>| last.push(word.to_string())),
        }
    }
    all
}

fn function_name(item: &TokenStream) -> Option<String> {
    let mut tokens = item.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    Some(tokens.next()?.to_string())
}
