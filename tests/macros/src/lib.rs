//! The attribute that registers a test on hosts with the lab's harness.

use proc_macro::{TokenStream, TokenTree};

/// Registers a function as a test on hosts, as the standard attribute of the same name does for other
/// tests. `#[test(weight = 3)]` takes the place of three tests, and `#[test(long)]` is started among
/// the first because it waits for long. `#[test(nixos)]` runs a second time on hosts that are NixOS,
/// `#[test(only_nixos)]` on these alone.
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
    let (mut weight, mut long) = ("1".to_owned(), false);
    let mut kinds = "StandIn";
    for argument in arguments.to_string().split(',') {
        let words: Vec<&str> = argument.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["long"] => long = true,
            ["nixos"] => kinds = "StandIn, ::lab::Kind::Nixos",
            ["only_nixos"] => kinds = "Nixos",
            ["weight", "=", number] => weight = (*number).to_owned(),
            _ => {
                return Err(format!(
                    "{argument:?} is not `long`, `nixos`, `only_nixos` or `weight = N`"
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
            kinds: &[::lab::Kind::{kinds}],
            run: || ::lab::harness::Ending::ending({name}()),
        }} }}"
    )
    .parse()
    .map_err(|error| format!("{error}"))
}

fn function_name(item: &TokenStream) -> Option<String> {
    let mut tokens = item.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    Some(tokens.next()?.to_string())
}
